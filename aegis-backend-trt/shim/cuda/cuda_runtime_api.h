// The types that TensorRT's headers take from CUDA's, for machines without CUDA's headers: handles, and nothing else.
#ifndef AEGIS_CUDA_RUNTIME_API_H
#define AEGIS_CUDA_RUNTIME_API_H
typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;
#endif
