// Marks a function that kernels for GPUs call as well.
#pragma once

#ifdef __CUDACC__
#define MXQ_HOST_DEVICE __host__ __device__
#else
#define MXQ_HOST_DEVICE
#endif
