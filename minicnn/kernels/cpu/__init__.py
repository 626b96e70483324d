"""CPU kernels: vector code written in Python and compiled by Numba.

Everything here works on addresses of float32 numbers in channels-last order: element (n, c, h, w)
of an activation stands at n H W C + h W C + w C + c. A kernel does one *item* of its work (some
pixels, some filters); `team` shares the items out among threads. Numba is imported when the first
kernel is asked for, never with the package.

    vector       registers of 4, 8 or 16 floats, by the processor's features
    product      the micro-kernel: a register tile of fused multiply-adds
    compiled     from Python functions to machine code, kept on disk
    team         several threads following one list of steps
"""
