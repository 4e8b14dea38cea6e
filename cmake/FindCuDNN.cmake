# Finds cuDNN by header and library, in CuDNN_ROOT, beside the CUDA toolkit in CuDNN_TOOLKIT, or in the usual places.
# Target: CuDNN::CuDNN
include(FindPackageHandleStandardArgs)
find_path(CuDNN_INCLUDE_DIR cudnn_version.h HINTS ${CuDNN_TOOLKIT} PATH_SUFFIXES include targets/${CMAKE_SYSTEM_PROCESSOR}-linux/include)
find_library(CuDNN_LIBRARY NAMES cudnn libcudnn.so.9 HINTS ${CuDNN_TOOLKIT} PATH_SUFFIXES lib64 lib targets/${CMAKE_SYSTEM_PROCESSOR}-linux/lib)
if(CuDNN_INCLUDE_DIR)
  file(READ ${CuDNN_INCLUDE_DIR}/cudnn_version.h CuDNN_TEXT)
  string(REGEX MATCH "CUDNN_MAJOR +([0-9]+).*CUDNN_MINOR +([0-9]+).*CUDNN_PATCHLEVEL +([0-9]+)" CuDNN_TEXT "${CuDNN_TEXT}")
  if(CuDNN_TEXT)
    set(CuDNN_VERSION ${CMAKE_MATCH_1}.${CMAKE_MATCH_2}.${CMAKE_MATCH_3})
  endif()
endif()
find_package_handle_standard_args(CuDNN REQUIRED_VARS CuDNN_LIBRARY CuDNN_INCLUDE_DIR VERSION_VAR CuDNN_VERSION)
mark_as_advanced(CuDNN_INCLUDE_DIR CuDNN_LIBRARY)
if(CuDNN_FOUND AND NOT TARGET CuDNN::CuDNN)
  add_library(CuDNN::CuDNN UNKNOWN IMPORTED)
  set_target_properties(CuDNN::CuDNN PROPERTIES IMPORTED_LOCATION ${CuDNN_LIBRARY}
                                                INTERFACE_INCLUDE_DIRECTORIES ${CuDNN_INCLUDE_DIR})
endif()
