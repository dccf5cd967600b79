// Flat C functions over TensorRT's C++ interfaces, compiled once for each version of its headers.
//
// TensorRT is C++ vtables: which entry of which table a call takes is known to its headers alone. build.rs compiles this
// file with `nvinfer1` renamed after the headers' version, so that inline functions of several versions can live in one
// program, and names the entry the same way. Nothing of TensorRT or CUDA is linked: the caller gives the library's
// `createInferRuntime_INTERNAL`, everything after it goes through vtables. src/ffi/shim.rs holds the same declarations
// in Rust; what may be called when is written there.
#include <NvInferRuntime.h>
#include <cstdint>
#include <cstdlib>
#include <new>

using namespace nvinfer1;

#define AEGIS_PASTE2(a, b) a##b
#define AEGIS_PASTE(a, b) AEGIS_PASTE2(a, b)

extern "C" {
// What TensorRT says. Both may be called on any thread.
struct AegisTrtEars {
    void (*log)(int32_t severity, char const* text);
    void (*error)(int32_t code, char const* text);
};

// Where TensorRT's device memory comes from. Both may be called on any thread.
struct AegisTrtMemory {
    void* owner;
    void* (*take)(void* owner, uint64_t bytes, uint64_t align);
    bool (*give_back)(void* owner, void* memory);
};

// An input or output. `name` lives as long as the engine.
struct AegisTrtTensor {
    char const* name;
    int32_t is_input;
    int32_t dtype;     // nvinfer1::DataType
    int32_t on_host;   // its address must be the host's
    int32_t is_shape;  // its values decide shapes
    int32_t linear;    // row-major without padding
    int32_t rank;      // -1 if unknown
    int64_t extents[Dims::MAX_DIMS]; // -1: open
};
}

namespace {

// One voice serves all runtimes of a library and is never freed: TensorRT keeps the first logger as its global one.
struct Logger final : ILogger {
    AegisTrtEars ears;
    explicit Logger(AegisTrtEars e) : ears(e) {}
    void log(Severity severity, char const* text) noexcept override {
        ears.log(static_cast<int32_t>(severity), text);
    }
};

// Tells each error and stores none: to TensorRT it is a recorder that has overflowed since its first error.
struct Recorder final : IErrorRecorder {
    AegisTrtEars ears;
    bool overflowed = false;
    int32_t references = 0;
    explicit Recorder(AegisTrtEars e) : ears(e) {}
    int32_t getNbErrors() const noexcept override { return 0; }
    ErrorCode getErrorCode(int32_t) const noexcept override { return ErrorCode::kUNSPECIFIED_ERROR; }
    ErrorDesc getErrorDesc(int32_t) const noexcept override { return ""; }
    bool hasOverflowed() const noexcept override { return __atomic_load_n(&overflowed, __ATOMIC_RELAXED); }
    void clear() noexcept override { __atomic_store_n(&overflowed, false, __ATOMIC_RELAXED); }
    bool reportError(ErrorCode code, ErrorDesc text) noexcept override {
        __atomic_store_n(&overflowed, true, __ATOMIC_RELAXED);
        ears.error(static_cast<int32_t>(code), text);
        return false; // go on; true would ask TensorRT to give up what it is doing, which it decides better
    }
    RefCount incRefCount() noexcept override { return __atomic_add_fetch(&references, 1, __ATOMIC_RELAXED); }
    RefCount decRefCount() noexcept override { return __atomic_sub_fetch(&references, 1, __ATOMIC_RELAXED); }
};

struct Voice {
    Logger logger;
    Recorder recorder;
    explicit Voice(AegisTrtEars ears) : logger(ears), recorder(ears) {}
};

struct Allocator final : IGpuAllocator {
    AegisTrtMemory memory;
    explicit Allocator(AegisTrtMemory m) : memory(m) {}
    void* allocate(uint64_t bytes, uint64_t align, AllocatorFlags) noexcept override {
        return memory.take(memory.owner, bytes, align);
    }
    bool deallocate(void* block) noexcept override { return memory.give_back(memory.owner, block); }
#if NV_TENSORRT_MAJOR < 10
    void free(void* block) noexcept override { memory.give_back(memory.owner, block); }
#endif
};

IRuntime* runtime(void* p) { return static_cast<IRuntime*>(p); }
ICudaEngine* engine(void* p) { return static_cast<ICudaEngine*>(p); }
IExecutionContext* context(void* p) { return static_cast<IExecutionContext*>(p); }
IErrorRecorder* recorder(void* voice) { return &static_cast<Voice*>(voice)->recorder; }

int32_t copy(Dims const& from, int64_t* to) {
    for (int32_t i = 0; i < from.nbDims && i < Dims::MAX_DIMS; ++i) {
        to[i] = from.d[i];
    }
    return from.nbDims;
}

// From malloc, as C++'s own `new` would bring its exceptions along.
template <class T, class A> void* make(A argument) {
    void* place = std::malloc(sizeof(T));
    return place ? new (place) T(argument) : nullptr;
}

void* voice_new(AegisTrtEars ears) { return make<Voice>(ears); }

void* allocator_new(AegisTrtMemory memory) { return make<Allocator>(memory); }
void allocator_free(void* a) {
    static_cast<Allocator*>(a)->~Allocator();
    std::free(a);
}

void* runtime_new(void* (*create)(void* logger, int32_t version), void* voice) {
    return create(static_cast<ILogger*>(&static_cast<Voice*>(voice)->logger), NV_TENSORRT_VERSION);
}
void runtime_use(void* r, void* voice, void* allocator) {
    runtime(r)->setErrorRecorder(recorder(voice));
    runtime(r)->setGpuAllocator(static_cast<Allocator*>(allocator));
}
void runtime_free(void* r) { delete runtime(r); }

void* engine_new(void* r, void const* plan, uint64_t bytes, void* voice) {
    ICudaEngine* e = runtime(r)->deserializeCudaEngine(plan, bytes);
    if (e) {
        e->setErrorRecorder(recorder(voice));
    }
    return e;
}
void engine_free(void* e) { delete engine(e); }

int64_t engine_scratch(void* e) {
#if AEGIS_TRT_NUMBER >= 100100
    return engine(e)->getDeviceMemorySizeV2();
#else
    return static_cast<int64_t>(engine(e)->getDeviceMemorySize());
#endif
}

int32_t engine_aux_streams(void* e) {
#if AEGIS_TRT_NUMBER >= 8600
    return engine(e)->getNbAuxStreams();
#else
    static_cast<void>(e);
    return 0;
#endif
}

int32_t engine_tensors(void* e) { return engine(e)->getNbIOTensors(); }

bool engine_tensor(void* e, int32_t index, AegisTrtTensor* out) {
    char const* name = engine(e)->getIOTensorName(index);
    TensorIOMode const mode = name ? engine(e)->getTensorIOMode(name) : TensorIOMode::kNONE;
    if (mode == TensorIOMode::kNONE) {
        return false;
    }
    out->name = name;
    out->is_input = mode == TensorIOMode::kINPUT;
    out->dtype = static_cast<int32_t>(engine(e)->getTensorDataType(name));
    out->on_host = engine(e)->getTensorLocation(name) == TensorLocation::kHOST;
    out->is_shape = engine(e)->isShapeInferenceIO(name);
    out->linear = engine(e)->getTensorFormat(name) == TensorFormat::kLINEAR;
    out->rank = copy(engine(e)->getTensorShape(name), out->extents);
    return true;
}

// The least and the greatest shape of an input in the first optimisation profile; -1 if there is none.
int32_t engine_least(void* e, char const* name, int64_t* extents) {
    return copy(engine(e)->getProfileShape(name, 0, OptProfileSelector::kMIN), extents);
}
int32_t engine_greatest(void* e, char const* name, int64_t* extents) {
    return copy(engine(e)->getProfileShape(name, 0, OptProfileSelector::kMAX), extents);
}

void* context_new(void* e, void* voice) {
#if NV_TENSORRT_MAJOR >= 10
    IExecutionContext* c = engine(e)->createExecutionContext(ExecutionContextAllocationStrategy::kUSER_MANAGED);
#else
    IExecutionContext* c = engine(e)->createExecutionContextWithoutDeviceMemory();
#endif
    if (c) {
        c->setErrorRecorder(recorder(voice));
    }
    return c;
}
void context_free(void* c) { delete context(c); }

int32_t context_profile(void* c) { return context(c)->getOptimizationProfile(); }
bool context_set_profile(void* c, void* stream) {
    return context(c)->setOptimizationProfileAsync(0, static_cast<cudaStream_t>(stream));
}

bool context_set_shape(void* c, char const* name, int64_t const* extents, int32_t rank) {
    Dims shape{};
    if (rank < 0 || rank > Dims::MAX_DIMS) {
        return false;
    }
    shape.nbDims = rank;
    for (int32_t i = 0; i < rank; ++i) {
        shape.d[i] = static_cast<decltype(shape.d[0] + 0)>(extents[i]);
    }
    return context(c)->setInputShape(name, shape);
}
int32_t context_shape(void* c, char const* name, int64_t* extents) {
    return copy(context(c)->getTensorShape(name), extents);
}

void context_set_scratch(void* c, void* memory, int64_t bytes) {
#if AEGIS_TRT_NUMBER >= 100100
    context(c)->setDeviceMemoryV2(memory, bytes);
#else
    static_cast<void>(bytes); // TensorRT trusts its caller: src/ffi/flow.rs has compared the sizes
    context(c)->setDeviceMemory(memory);
#endif
}

void context_set_aux_streams(void* c, void** streams, int32_t count) {
#if AEGIS_TRT_NUMBER >= 8600
    context(c)->setAuxStreams(reinterpret_cast<cudaStream_t*>(streams), count);
#else
    static_cast<void>(c), static_cast<void>(streams), static_cast<void>(count); // such engines have none
#endif
}

bool context_bind(void* c, char const* name, void* address) { return context(c)->setTensorAddress(name, address); }
bool context_enqueue(void* c, void* stream) { return context(c)->enqueueV3(static_cast<cudaStream_t>(stream)); }

} // namespace

extern "C" {
struct AegisTrtShim {
    int64_t bytes; // of this struct, so that both sides can see that they agree
    int64_t version;
    decltype(&voice_new) voice_new_;
    decltype(&allocator_new) allocator_new_;
    decltype(&allocator_free) allocator_free_;
    decltype(&runtime_new) runtime_new_;
    decltype(&runtime_use) runtime_use_;
    decltype(&runtime_free) runtime_free_;
    decltype(&engine_new) engine_new_;
    decltype(&engine_free) engine_free_;
    decltype(&engine_scratch) engine_scratch_;
    decltype(&engine_aux_streams) engine_aux_streams_;
    decltype(&engine_tensors) engine_tensors_;
    decltype(&engine_tensor) engine_tensor_;
    decltype(&engine_least) engine_least_;
    decltype(&engine_greatest) engine_greatest_;
    decltype(&context_new) context_new_;
    decltype(&context_free) context_free_;
    decltype(&context_profile) context_profile_;
    decltype(&context_set_profile) context_set_profile_;
    decltype(&context_set_shape) context_set_shape_;
    decltype(&context_shape) context_shape_;
    decltype(&context_set_scratch) context_set_scratch_;
    decltype(&context_set_aux_streams) context_set_aux_streams_;
    decltype(&context_bind) context_bind_;
    decltype(&context_enqueue) context_enqueue_;
};

AegisTrtShim const* AEGIS_PASTE(aegis_trt_shim_, AEGIS_TRT_NUMBER)() {
    static_assert(NV_TENSORRT_VERSION == AEGIS_TRT_NUMBER, "build.rs has read another version than the compiler");
    static AegisTrtShim const shim = {
        sizeof(AegisTrtShim), NV_TENSORRT_VERSION,
        voice_new, allocator_new, allocator_free, runtime_new, runtime_use, runtime_free,
        engine_new, engine_free, engine_scratch, engine_aux_streams, engine_tensors, engine_tensor,
        engine_least, engine_greatest,
        context_new, context_free, context_profile, context_set_profile, context_set_shape, context_shape,
        context_set_scratch, context_set_aux_streams, context_bind, context_enqueue,
    };
    return &shim;
}
}
