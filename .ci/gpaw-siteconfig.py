# How GPAW is built on Debian: with ScaLAPACK, without which its ranks cannot share plane waves.
mpi = True
compiler = "mpicxx"
scalapack = True
libraries = ["xc", "openblas", "scalapack-openmpi"]
