// What makes CUDA C++ run on a CPU, one block after the other: threads of a block are fibers that
// change places at barriers, so every index is computed by the very source that a GPU runs.
#include <ucontext.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

struct dim3 {
    unsigned x, y, z;
};
static dim3 threadIdx, blockIdx, blockDim, gridDim;

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __shared__ static
#define __restrict__

// A GPU faults where four numbers are not aligned; so does this.
#define READS_FOUR_AT(p)                                        \
    if ((size_t)(p) % 16) {                                     \
        fprintf(stderr, "four numbers read at a crooked address\n"); \
        abort();                                                \
    }

using std::exp;
using std::fma;
using std::log;
using std::pow;
using std::sqrt;

static float rsqrt(float x) { return 1 / sqrt(x); }
static double rsqrt(double x) { return 1 / sqrt(x); }

static ucontext_t scheduler;
static std::vector<ucontext_t> fibers;
static std::vector<char*> stacks;
static std::vector<char> done;
static unsigned current;
static const size_t STACK = 64 << 10;

static void (*body)(void**);
static void** body_arguments;

static void fiber_main() {
    body(body_arguments);
    done[current] = 1;
    swapcontext(&fibers[current], &scheduler);
}

static void __syncthreads() { swapcontext(&fibers[current], &scheduler); }

static int run_block_with_barriers() {
    unsigned count = blockDim.x;
    while (stacks.size() < count) stacks.push_back((char*)malloc(STACK));
    fibers.resize(count);
    done.assign(count, 0);
    for (unsigned i = 0; i < count; i++) {
        getcontext(&fibers[i]);
        fibers[i].uc_stack.ss_sp = stacks[i];
        fibers[i].uc_stack.ss_size = STACK;
        fibers[i].uc_link = &scheduler;
        makecontext(&fibers[i], fiber_main, 0);
    }
    unsigned ended = 0;
    // Between barriers threads run up, then down, from one kernel to the next the other way about:
    // what lacks a barrier finds shared memory unwritten, or overwritten.
    static bool down = false;
    for (down = !down; ended < count; down = !down) {
        unsigned before = ended;
        for (unsigned turn = 0; turn < count; turn++) {
            unsigned i = down ? count - 1 - turn : turn;
            if (done[i]) continue;
            current = i;
            threadIdx = {i, 0, 0};
            swapcontext(&scheduler, &fibers[i]);
            ended += done[i];
        }
        // Some threads left while others wait at a barrier: the block would hang or diverge.
        if (ended != before && ended != count) return 1;
    }
    return 0;
}

static int run_grid(void (*kernel)(void**), void** arguments, const int* grid, int block,
                    int barriers) {
    body = kernel, body_arguments = arguments;
    blockDim = {(unsigned)block, 1, 1};
    gridDim = {(unsigned)grid[0], (unsigned)grid[1], (unsigned)grid[2]};
    for (unsigned z = 0; z < gridDim.z; z++)
        for (unsigned y = 0; y < gridDim.y; y++)
            for (unsigned x = 0; x < gridDim.x; x++) {
                blockIdx = {x, y, z};
                if (barriers) {
                    if (run_block_with_barriers()) return 1;
                    continue;
                }
                for (unsigned i = 0; i < blockDim.x; i++) {
                    threadIdx = {i, 0, 0};
                    kernel(arguments);
                }
            }
    return 0;
}
