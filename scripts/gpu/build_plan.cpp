// Builds a TensorRT plan from an ONNX file, on a machine with a GPU and without TensorRT's own tools.
//
//   build_plan MODEL.onnx OUT.plan [--fp16] [--workspace MIB] [--tactics N] [--timing-cache FILE] [--verbose]
//
// --tactics N times only the first N implementations of each layer: 1 builds in seconds and gives a slower plan.
// --timing-cache FILE is read if it is there and written at the end; plans built at the same time need one each.
// cuDNN and cuBLAS are not used. Open extents are built as 1. TensorRT is found by the loader's path; compile with
//   g++ -std=c++17 -O1 -isystem TENSORRT/include -idirafter aegis-backend-trt/shim/cuda build_plan.cpp -o build_plan -ldl
#include <NvInfer.h>
#include <NvOnnxParser.h>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

using namespace nvinfer1;

namespace {
[[noreturn]] void fail(std::string const& why) {
    std::fprintf(stderr, "build_plan: %s\n", why.c_str());
    std::exit(1);
}

struct Logger final : ILogger {
    Severity most = Severity::kWARNING;
    void log(Severity severity, char const* text) noexcept override {
        if (severity <= most) std::fprintf(stderr, "[%d] %s\n", static_cast<int>(severity), text);
    }
};

#if NV_TENSORRT_MAJOR < 10
// Keeps the first `most` implementations of each layer; TensorRT times only those.
struct First final : IAlgorithmSelector {
    int32_t most;
    explicit First(int32_t m) : most(m) {}
    int32_t selectAlgorithms(IAlgorithmContext const&, IAlgorithm const* const*, int32_t given, int32_t* kept) noexcept override {
        int32_t const count = std::min(most, given);
        for (int32_t i = 0; i < count; ++i) kept[i] = i;
        return count;
    }
    void reportAlgorithms(IAlgorithmContext const* const*, IAlgorithm const* const*, int32_t) noexcept override {}
};
#endif

template <class F> F function(char const* library, char const* name) {
    // Lazily: the plugin library names functions of cuDNN and cuBLAS that nobody calls here.
    void* opened = dlopen(library, RTLD_LAZY | RTLD_GLOBAL);
    if (!opened) fail(dlerror());
    void* found = dlsym(opened, name);
    if (!found) fail(dlerror());
    return reinterpret_cast<F>(found);
}

std::vector<char> read(std::string const& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void write(std::string const& path, IHostMemory const& memory) {
    std::ofstream file(path, std::ios::binary);
    if (!file.write(static_cast<char const*>(memory.data()), static_cast<std::streamsize>(memory.size())).flush()) {
        fail("cannot write " + path);
    }
}
} // namespace

int main(int count, char** arguments) {
    std::vector<std::string> files;
    std::string cache_file;
    bool fp16 = false;
    long workspace = 256, tactics = 0;
    Logger logger;
    for (int i = 1; i < count; ++i) {
        std::string const word = arguments[i];
        auto value = [&] { return ++i < count ? arguments[i] : (fail(word + " needs a value"), nullptr); };
        if (word == "--fp16") fp16 = true;
        else if (word == "--verbose") logger.most = ILogger::Severity::kINFO;
        else if (word == "--workspace") workspace = std::atol(value());
        else if (word == "--tactics") tactics = std::atol(value());
        else if (word == "--timing-cache") cache_file = value();
        else if (word.rfind("--", 0) == 0) fail("unknown option " + word);
        else files.push_back(word);
    }
    if (files.size() != 2) fail("give an ONNX file and the plan to write");

    std::string const major = std::to_string(NV_TENSORRT_MAJOR);
    auto make_builder = function<void* (*)(void*, int32_t)>(("libnvinfer.so." + major).c_str(), "createInferBuilder_INTERNAL");
    auto make_parser =
        function<void* (*)(void*, void*, int)>(("libnvonnxparser.so." + major).c_str(), "createNvOnnxParser_INTERNAL");
    std::unique_ptr<IBuilder> builder(
        static_cast<IBuilder*>(make_builder(static_cast<ILogger*>(&logger), NV_TENSORRT_VERSION)));
    if (!builder) fail("TensorRT makes no builder");
#if NV_TENSORRT_MAJOR >= 10
    std::unique_ptr<INetworkDefinition> network(builder->createNetworkV2(0));
#else
    std::unique_ptr<INetworkDefinition> network(
        builder->createNetworkV2(1U << static_cast<uint32_t>(NetworkDefinitionCreationFlag::kEXPLICIT_BATCH)));
#endif
    std::unique_ptr<nvonnxparser::IParser> parser(static_cast<nvonnxparser::IParser*>(
        make_parser(network.get(), static_cast<ILogger*>(&logger), NV_ONNX_PARSER_VERSION)));
    if (!parser->parseFromFile(files[0].c_str(), static_cast<int>(ILogger::Severity::kWARNING))) {
        for (int i = 0; i < parser->getNbErrors(); ++i) std::fprintf(stderr, "%s\n", parser->getError(i)->desc());
        fail("cannot parse " + files[0]);
    }

    std::unique_ptr<IBuilderConfig> config(builder->createBuilderConfig());
    config->setMemoryPoolLimit(MemoryPoolType::kWORKSPACE, static_cast<std::size_t>(workspace) << 20);
    config->setTacticSources(0);
    config->setAvgTimingIterations(1);
#if NV_TENSORRT_MAJOR < 11
    if (fp16) config->setFlag(BuilderFlag::kFP16);
#else
    if (fp16) fail("TensorRT 11 takes precisions from the network alone");
#endif
#if NV_TENSORRT_MAJOR < 10
    config->setMinTimingIterations(1);
    First first(static_cast<int32_t>(tactics));
    if (tactics > 0) config->setAlgorithmSelector(&first);
#else
    if (tactics > 0) config->setBuilderOptimizationLevel(static_cast<int32_t>(std::min(tactics - 1, 5L)));
#endif

    IOptimizationProfile* profile = nullptr;
    for (int32_t i = 0; i < network->getNbInputs(); ++i) {
        ITensor* input = network->getInput(i);
        Dims shape = input->getDimensions();
        if (std::none_of(shape.d, shape.d + shape.nbDims, [](auto extent) { return extent < 0; })) continue;
        std::replace_if(shape.d, shape.d + shape.nbDims, [](auto extent) { return extent < 0; }, 1);
        if (!profile) profile = builder->createOptimizationProfile();
        for (auto which : {OptProfileSelector::kMIN, OptProfileSelector::kOPT, OptProfileSelector::kMAX}) {
            profile->setDimensions(input->getName(), which, shape);
        }
    }
    if (profile) config->addOptimizationProfile(profile);

    std::unique_ptr<ITimingCache> cache;
    if (!cache_file.empty()) {
        std::vector<char> const known = read(cache_file);
        cache.reset(config->createTimingCache(known.data(), known.size()));
        if (cache) config->setTimingCache(*cache, false);
    }

    auto const start = std::chrono::steady_clock::now();
    std::unique_ptr<IHostMemory> plan(builder->buildSerializedNetwork(*network, *config));
    if (!plan) fail("TensorRT builds no plan of " + files[0]);
    double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    write(files[1], *plan);
    if (cache) write(cache_file, *std::unique_ptr<IHostMemory>(cache->serialize()));
    std::printf("%s: %zu bytes in %.1f s, header", files[1].c_str(), plan->size(), seconds);
    for (std::size_t i = 0; i < std::min<std::size_t>(32, plan->size()); ++i) {
        std::printf(" %02x", static_cast<unsigned char const*>(plan->data())[i]);
    }
    std::printf("\n");
}
