// A stand-in for libnvinfer, built by `tests/gpu/stand_ins.rs` against TensorRT's own headers: real vtables, no device.
//
// A plan is a header, then a line: bytes of weights, of a context, of scratch, number of auxiliary streams, and a word that
// says what is odd about it. It has an input x and an output y of 16 floats; y is x with 7 added to the bits of each. All
// work goes to the stand-in of the driver, which does it when somebody waits, and knows which memory it uses until then.
// What TensorRT's users must not do is counted by `fake_violations`.
#include <NvInferRuntime.h>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <set>
#include <string>

using namespace nvinfer1;

namespace {
[[noreturn]] void unexpected(char const* what) {
    std::fprintf(stderr, "fake TensorRT: unexpected call of %s\n", what);
    std::abort();
}
}
#include "stubs.h" // StubVRuntime, StubVCudaEngine, StubVExecutionContext: every method is unexpected

namespace {
constexpr uint64_t FLOATS = 16;
constexpr uint64_t BYTES = FLOATS * sizeof(float);
std::atomic<int> violations{0};
std::atomic<int> alive{0};

void violation(char const* what) {
    std::fprintf(stderr, "fake TensorRT: %s\n", what);
    ++violations;
}

using Address = unsigned long long; // of the device

template <class... A> void driver(char const* name, A... arguments) {
    static void* const library = dlopen("libcuda.so", RTLD_NOW);
    auto call = reinterpret_cast<int (*)(A...)>(dlsym(library, name));
    if (int const code = call ? call(arguments...) : -1) {
        std::fprintf(stderr, "fake TensorRT: %s answers %d\n", name, code);
        violation("the driver refuses");
    }
}

void copy(Address to, Address from, std::size_t bytes, cudaStream_t stream) {
    if (bytes) driver("cuMemcpyDtoDAsync_v2", to, from, bytes, stream);
}

void fill(Address to, unsigned char byte, std::size_t bytes, cudaStream_t stream) {
    if (bytes) driver("cuMemsetD8Async", to, byte, bytes, stream);
}

// Adds 7 to each word.
void add(Address data, cudaStream_t stream) {
    static void* const function = [] {
        void *module = nullptr, *found = nullptr;
        driver("cuModuleLoadData", &module, static_cast<void const*>("__global__ void add("));
        driver("cuModuleGetFunction", &found, module, "add");
        return found;
    }();
    Address count = FLOATS, seven = 7;
    void* arguments[] = {&data, &count, &seven};
    driver("cuLaunchKernel", function, 1u, 1u, 1u, 1u, 1u, 1u, 0u, stream, static_cast<void**>(arguments),
        static_cast<void**>(nullptr));
}

struct Engine;

void set(Dims& shape, std::initializer_list<int> extents) {
    shape = Dims{};
    for (int extent : extents) {
        shape.d[shape.nbDims++] = extent;
    }
}

struct Runtime final : IRuntime, StubVRuntime {
    ILogger* logger;
    IGpuAllocator* allocator = nullptr;
    IErrorRecorder* recorder = nullptr;
    int engines = 0;
    explicit Runtime(ILogger* l) : logger(l) { mImpl = this; ++alive; }
    ~Runtime() noexcept override {
        if (engines) violation("a runtime is destroyed before its engine");
        if (recorder) recorder->decRefCount();
        --alive;
    }
    void setGpuAllocator(IGpuAllocator* a) noexcept override { allocator = a; }
    void setErrorRecorder(IErrorRecorder* r) noexcept override { recorder = r, r->incRefCount(); }
    void error(char const* text) {
        logger->log(ILogger::Severity::kERROR, (std::string("1: ") + text).c_str());
        if (recorder) recorder->reportError(ErrorCode::kFAILED_EXECUTION, text);
    }
    void* take(uint64_t bytes, uint64_t align) {
        if (!allocator) return unexpected("deserialization without an allocator"), nullptr;
#if NV_TENSORRT_MAJOR >= 10
        return allocator->allocateAsync(bytes, align, 0, nullptr);
#else
        return allocator->allocate(bytes, align, 0);
#endif
    }
    void give_back(void* block) {
#if NV_TENSORRT_MAJOR >= 10
        if (!allocator->deallocateAsync(block, nullptr)) violation("the allocator does not know its memory");
#else
        if (!allocator->deallocate(block)) violation("the allocator does not know its memory");
#endif
    }
    ICudaEngine* load(void const* plan, uint64_t bytes);
#if NV_TENSORRT_MAJOR >= 10
    ICudaEngine* deserializeCudaEngine(void const* plan, std::size_t bytes) noexcept override { return load(plan, bytes); }
#else
    ICudaEngine* deserializeCudaEngine(void const* plan, std::size_t bytes, IPluginFactory*) noexcept override {
        return load(plan, bytes);
    }
#endif
};

struct Engine final : ICudaEngine, StubVCudaEngine {
    Runtime* runtime;
    unsigned long long weight_bytes = 0, context_bytes = 0, scratch = 0;
    int aux = 0;
    char odd[64] = "";
    void* weights = nullptr;
    std::atomic<int> contexts{0};
    explicit Engine(Runtime* r) : runtime(r) { mImpl = this; ++runtime->engines; ++alive; }
    ~Engine() noexcept override {
        if (contexts) violation("an engine is destroyed before its contexts");
        runtime->give_back(weights);
        --runtime->engines;
        --alive;
    }
    bool is(char const* word) const { return !std::strcmp(odd, word); }
    bool is_open() const { return is("profile") || is("range"); }
    void setErrorRecorder(IErrorRecorder*) noexcept override {}
#if NV_TENSORRT_MAJOR >= 10
    int64_t getDeviceMemorySizeV2() const noexcept override { return static_cast<int64_t>(scratch); }
#else
    std::size_t getDeviceMemorySize() const noexcept override { return scratch; }
#endif
#if NV_TENSORRT_MAJOR >= 10 || NV_TENSORRT_MINOR >= 6
    int32_t getNbAuxStreams() const noexcept override { return aux; }
    int expected_aux() const { return aux; }
#else
    int expected_aux() const { return 0; }
#endif
    int32_t getNbIOTensors() const noexcept override { return is("mute") ? 3 : 2; }
    char const* getIOTensorName(int32_t index) const noexcept override { return index == 0 ? "x" : index == 1 ? "y" : nullptr; }
    TensorIOMode getTensorIOMode(char const* name) const noexcept override {
        return *name == 'x' ? TensorIOMode::kINPUT : TensorIOMode::kOUTPUT;
    }
    DataType getTensorDataType(char const* name) const noexcept override {
        return is("bf16") && *name == 'y' ? static_cast<DataType>(7) : DataType::kFLOAT;
    }
    TensorLocation getTensorLocation(char const* name) const noexcept override {
        return is("host") && *name == 'x' ? TensorLocation::kHOST : TensorLocation::kDEVICE;
    }
    bool isShapeInferenceIO(char const* name) const noexcept override { return is("shape") && *name == 'y'; }
    TensorFormat getTensorFormat(char const* name) const noexcept override {
        return is("chw4") && *name == 'x' ? TensorFormat::kCHW4 : TensorFormat::kLINEAR;
    }
    Dims getTensorShape(char const* name) const noexcept override {
        Dims shape;
        bool const open = is_open() || (is("data") && *name == 'y');
        set(shape, {open ? -1 : 1, static_cast<int>(FLOATS)});
        return shape;
    }
    Dims getProfileShape(char const*, int32_t profile, OptProfileSelector which) const noexcept override {
        if (profile != 0) unexpected("another profile than the first");
        Dims shape;
        set(shape, {is("range") && which == OptProfileSelector::kMAX ? 8 : 1, static_cast<int>(FLOATS)});
        return shape;
    }
    IExecutionContext* open();
#if NV_TENSORRT_MAJOR >= 10
    IExecutionContext* createExecutionContext(ExecutionContextAllocationStrategy strategy) noexcept override {
        if (strategy != ExecutionContextAllocationStrategy::kUSER_MANAGED) violation("TensorRT would take scratch by itself");
        return open();
    }
#else
    IExecutionContext* createExecutionContextWithoutDeviceMemory() noexcept override { return open(); }
#endif
};

struct Context final : IExecutionContext, StubVExecutionContext {
    Engine* engine;
    void* persistent;
    Address x = 0;
    Address y = 0;
    Address scratch = 0;
    bool shaped = false;
    int runs = 0;
    std::set<cudaStream_t> aux;
    Context(Engine* e, void* p) : engine(e), persistent(p) { mImpl = this; ++engine->contexts; ++alive; }
    ~Context() noexcept override {
        if (persistent) engine->runtime->give_back(persistent);
        --engine->contexts;
        --alive;
    }
    void setErrorRecorder(IErrorRecorder*) noexcept override {}
    int32_t getOptimizationProfile() const noexcept override { return 0; }
    bool setInputShape(char const* name, Dims const& shape) noexcept override {
        if (*name != 'x' || shape.nbDims != 2 || shape.d[0] != 1) return false;
        return shaped = true;
    }
    Dims getTensorShape(char const* name) const noexcept override {
        Dims shape = engine->getTensorShape(name);
        if (shaped) shape.d[0] = 1;
        return shape;
    }
    bool setTensorAddress(char const* name, void* address) noexcept override {
        if (reinterpret_cast<uintptr_t>(address) % 256) violation("a tensor is not aligned");
        (*name == 'x' ? x : y) = reinterpret_cast<Address>(address);
        return !engine->is("unbindable");
    }
    void setMemory(void* memory, int64_t bytes) {
        if (bytes >= 0 && static_cast<unsigned long long>(bytes) < engine->scratch) violation("too little scratch");
        if (reinterpret_cast<uintptr_t>(memory) % 256) violation("scratch is not aligned");
        scratch = reinterpret_cast<Address>(memory);
    }
#if NV_TENSORRT_MAJOR >= 10
    void setDeviceMemoryV2(void* memory, int64_t bytes) noexcept override { setMemory(memory, bytes); }
#else
    void setDeviceMemory(void* memory) noexcept override { setMemory(memory, -1); }
#endif
#if NV_TENSORRT_MAJOR >= 10 || NV_TENSORRT_MINOR >= 6
    void setAuxStreams(cudaStream_t* streams, int32_t count) noexcept override {
        aux = std::set<cudaStream_t>(streams, streams + count);
    }
#endif
    bool enqueueV3(cudaStream_t stream) noexcept override {
        if (!x || !y || (engine->scratch && !scratch)) return violation("something is not bound"), false;
        if (engine->is_open() && !shaped) return violation("a shape is not set"), false;
        if (static_cast<int>(aux.size()) != engine->expected_aux() || aux.count(stream) || aux.count(nullptr)) {
            violation("wrong streams");
        }
        if (engine->is("fails") && ++runs >= 2) return engine->runtime->error("the kernel did not start"), false;
        if (engine->is("hungry") && !engine->runtime->take(1 << 20, 256)) {
            return engine->runtime->error("out of memory"), false;
        }
        fill(reinterpret_cast<Address>(engine->weights), 1, engine->weight_bytes, stream);
        fill(reinterpret_cast<Address>(persistent), 2, persistent ? engine->context_bytes : 0, stream);
        fill(scratch, 3, engine->scratch, stream);
        Address const between = engine->scratch >= BYTES ? scratch : y;
        copy(between, x, BYTES, stream);
        copy(y, between, between == y ? 0 : BYTES, stream);
        add(y, stream);
        return true;
    }
};

ICudaEngine* Runtime::load(void const* plan, uint64_t bytes) {
    std::string const text(static_cast<char const*>(plan), bytes);
    std::size_t const header = text.compare(0, 4, "ftrt") == 0 ? 32 : 24;
    auto* engine = new Engine(this);
    if (std::sscanf(text.c_str() + header, "%llu %llu %llu %d %63s", &engine->weight_bytes, &engine->context_bytes,
            &engine->scratch, &engine->aux, engine->odd) != 5 || engine->is("refused")) {
        error("Serialization assertion failed");
        return delete engine, nullptr;
    }
    uint64_t const align = engine->is("aligned") ? 4096 : engine->is("misaligned") ? 48 : 256;
    engine->weights = take(engine->weight_bytes, align);
    if (reinterpret_cast<uintptr_t>(engine->weights) % align) violation("the weights are not aligned");
    if (!engine->weights) {
        error("out of memory");
        return delete engine, nullptr;
    }
    return engine;
}

IExecutionContext* Engine::open() {
    if (is("contextless")) return runtime->error("no context today"), nullptr;
    void* persistent = context_bytes ? runtime->take(context_bytes, 256) : nullptr;
    if (context_bytes && !persistent) return runtime->error("out of memory"), nullptr;
    return new Context(this, persistent);
}
}

extern "C" {
__attribute__((visibility("default"))) void* createInferRuntime_INTERNAL(void* logger, int32_t version) noexcept {
    if (version != NV_TENSORRT_VERSION) unexpected("another version of the headers");
    if (std::getenv("AEGIS_STAND_IN_WITHOUT_DRIVER")) { // as TensorRT does it
        static_cast<ILogger*>(logger)->log(ILogger::Severity::kERROR, "CUDA initialization failure with error: 35");
        return reinterpret_cast<void*>(0x228);
    }
    return static_cast<IRuntime*>(new Runtime(static_cast<ILogger*>(logger)));
}
__attribute__((visibility("default"))) int32_t getInferLibVersion() noexcept { return NV_TENSORRT_VERSION; }
__attribute__((visibility("default"))) int fake_violations() { return violations; }
__attribute__((visibility("default"))) int fake_alive() { return alive; }
}
