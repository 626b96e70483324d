"""GPU kernels: CUDA C++ compiled by CuPy when first used, called on CuPy arrays.

`sources/` holds the CUDA code, one file a family, `code` compiles and launches it. The modules
beside it give the kernels the signatures of `reference`; `serving` chooses among them. As on the
CPU, arrays have the shape (N, C, H, W) and channels last in memory, and bits stand as in `Packed`.
"""
