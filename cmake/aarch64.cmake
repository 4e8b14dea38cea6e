# Cross build for aarch64: Debian's compiler, libraries from the folder that tools/check_aarch64.sh unpacks them into,
# programs run by qemu (ctest does so by itself).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
get_filename_component(DRNAS_SYSROOT ${CMAKE_CURRENT_LIST_DIR}/../build-aarch64/sysroot ABSOLUTE)
set(CMAKE_FIND_ROOT_PATH ${DRNAS_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L ${DRNAS_SYSROOT})
# The emulator finds libraries in the sysroot; a search path inside the programs would only hide them.
set(CMAKE_SKIP_BUILD_RPATH ON)
# libpng needs zlib's shared library, which lies outside usr.
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,-rpath-link,${DRNAS_SYSROOT}/lib/aarch64-linux-gnu")
