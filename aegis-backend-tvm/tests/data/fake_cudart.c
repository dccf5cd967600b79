// A stand-in for libcudart.so.13, over the stand-in for the driver of aegis-cuda's tests: what TVM's part for CUDA calls.
// `tests/gpu.rs` builds it. Kernels compute nothing: a launch copies the first bytes of its first argument onto themselves, in
// the stream's order, so that the driver reports a stream or memory that is not live. It also stands in front of the driver's
// functions for modules, and in place of the compiler that TVM calls for a module that holds sources.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef int status;
typedef unsigned long long address;

// The driver.
status cuDeviceGet(int *, int);
status cuDevicePrimaryCtxRetain(void **, int);
status cuCtxSetCurrent(void *);
status cuCtxSynchronize(void);
status cuMemAlloc_v2(address *, size_t);
status cuMemFree_v2(address);
status cuMemGetInfo_v2(size_t *, size_t *);
status cuMemHostAlloc(void **, size_t, unsigned);
status cuMemFreeHost(void *);
status cuMemcpyHtoDAsync_v2(address, const void *, size_t, void *);
status cuMemcpyDtoDAsync_v2(address, address, size_t, void *);
status cuStreamCreateWithPriority(void **, unsigned, int);
status cuStreamSynchronize(void *);

static void *context, *default_stream;

static void current(void) {
    if (!context) {
        int device;
        cuDeviceGet(&device, 0);
        cuDevicePrimaryCtxRetain(&context, device);
    }
    cuCtxSetCurrent(context);
    if (!default_stream) cuStreamCreateWithPriority(&default_stream, 0, 0);
}

// The runtime.
status cudaSetDevice(int device) { current(); return device; }
status cudaGetDevice(int *device) { *device = 0; return 0; }
status cudaGetDeviceCount(int *count) { *count = 1; return 0; }
status cudaMalloc(void **memory, size_t bytes) { current(); return cuMemAlloc_v2((address *)memory, bytes); }
status cudaFree(void *memory) { current(); return memory ? cuMemFree_v2((address)memory) : 0; }
status cudaMemGetInfo(size_t *free, size_t *total) { current(); return cuMemGetInfo_v2(free, total); }
status cudaStreamSynchronize(void *stream) { (void)stream; return cuCtxSynchronize(); }

// TVM's constants, from memory that is not page-locked.
status cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, void *stream) {
    void *pinned;
    current();
    if (kind != 1 || stream || cuMemHostAlloc(&pinned, bytes, 3)) return 1;
    memcpy(pinned, from, bytes);
    status copied = cuMemcpyHtoDAsync_v2((address)to, pinned, bytes, default_stream);
    status waited = cuStreamSynchronize(default_stream);
    cuMemFreeHost(pinned);
    return copied ? copied : waited;
}

status cudaDeviceGetAttribute(int *value, int which, int device) { (void)which, (void)device; *value = 1; return 0; }
status cudaGetLastError(void) { return 0; }
status cudaPeekAtLastError(void) { return 0; }
const char *cudaGetErrorName(status error) { (void)error; return "cudaError"; }
const char *cudaGetErrorString(status error) { (void)error; return "an error of the stand-in"; }

// Modules and launches.
status cuModuleLoadData(void **module, const void *code) { (void)code; *module = context; return 0; }
status cuModuleUnload(void *module) { (void)module; return 0; }
status cuModuleGetFunction(void **function, void *module, const char *name) { (void)name; *function = module; return 0; }

struct launch { unsigned grid[3], block[3], shared; void *stream; };

status cuLaunchKernelEx(const struct launch *launch, void *function, void **arguments, void **more) {
    (void)function, (void)more;
    address first = *(address *)arguments[0];
    return cuMemcpyDtoDAsync_v2(first, first, 4, launch->stream);
}

// What is only named.
#define NEVER(name) status name(void) { fputs("the stand-in has no " #name "\n", stderr); return 999; }
NEVER(cudaEventCreate) NEVER(cudaEventDestroy) NEVER(cudaEventElapsedTime)
NEVER(cudaEventRecord) NEVER(cudaEventSynchronize) NEVER(cudaFreeHost) NEVER(cudaGetDeviceProperties)
NEVER(cudaGraphDestroy) NEVER(cudaGraphExecDestroy) NEVER(cudaGraphInstantiate)
NEVER(cudaGraphLaunch) NEVER(cudaMallocHost) NEVER(cudaMemcpyPeerAsync)
NEVER(cudaStreamBeginCapture) NEVER(cudaStreamCreate) NEVER(cudaStreamCreateWithFlags)
NEVER(cudaStreamDestroy) NEVER(cudaStreamEndCapture) NEVER(cudaStreamWaitEvent)
NEVER(cuFuncSetAttribute) NEVER(cuGetErrorString) NEVER(cuTensorMapEncodeTiled)

// The compiler, as a function in TVM's registry.
struct bytes { const char *data; size_t size; };
struct any { int32_t index; uint32_t small; uint64_t value; };
typedef int (*call)(void *, const struct any *, int32_t, struct any *);
int TVMFFIFunctionCreate(void *, call, void (*)(void *), void **);
int TVMFFIFunctionSetGlobal(const struct bytes *, void *, int);
int TVMFFIBytesFromByteArray(const struct bytes *, struct any *);

static int compile(void *self, const struct any *arguments, int32_t count, struct any *result) {
    (void)self, (void)arguments, (void)count;
    struct bytes code = {"// compiled by nobody", 21};
    return TVMFFIBytesFromByteArray(&code, result);
}

__attribute__((constructor)) static void stand_in_for_the_compiler(void) {
    struct bytes name = {"tvm_callback_cuda_compile", 25};
    void *function;
    if (TVMFFIFunctionCreate(0, compile, 0, &function) == 0) TVMFFIFunctionSetGlobal(&name, function, 1);
}
