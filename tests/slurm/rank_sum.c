/* Every rank sends its number to all: a sum that is right only when the ranks are one job.
   Each also says where it ran and from when to when, s since 1970, for SLEEP_S seconds. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

static double now(void) {
    struct timeval time;
    gettimeofday(&time, NULL);
    return time.tv_sec + 1e-6 * time.tv_usec;
}

int main(int argc, char **argv) {
    int rank, size, sum;
    MPI_Init(&argc, &argv);
    double from = now();
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    usleep((useconds_t)(1e6 * atof(argc > 1 ? argv[1] : "0")));
    MPI_Barrier(MPI_COMM_WORLD);
    printf("rank %d of %d sum %d on %s from %.3f to %.3f\n", rank, size, sum,
           getenv("SLURMD_NODENAME"), from, now());
    MPI_Finalize();
    return 0;
}
