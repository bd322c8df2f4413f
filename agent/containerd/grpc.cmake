# prebake_grpc: the library of the containerd client, static or shared as PREBAKE_STATIC says. We talk to
# unix sockets only: gRPC without TLS ("unsecure").
#
# Debian's CMake package of gRPC describes only the shared libraries. pkg-config knows the static closure
# of Abseil, but not the private dependencies of gRPC; they are listed here.

include_guard(GLOBAL)
include(${PROJECT_SOURCE_DIR}/agent/base/protobuf.cmake)
pkg_check_modules(PREBAKE_GRPC REQUIRED grpc++_unsecure>=1.51)
find_program(PREBAKE_GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)

add_library(prebake_grpc INTERFACE)
target_include_directories(prebake_grpc SYSTEM INTERFACE ${PREBAKE_GRPC_INCLUDE_DIRS})
if(PREBAKE_STATIC)
    set(names ${PREBAKE_GRPC_STATIC_LIBRARIES} upb address_sorting cares re2)
    list(REMOVE_DUPLICATES names)
    # zlib also here: Protocol Buffers, which need it too, may come earlier on the command line.
    prebake_archives(grpc_archives ${names} z)
    # The file has the reason. An object, not an archive: the code that needs it comes last on the command
    # line.
    add_library(prebake_arc4random OBJECT ${CMAKE_CURRENT_LIST_DIR}/arc4random.cc)
    target_link_libraries(prebake_arc4random PRIVATE prebake_options)
    # A group: the archives of gRPC and Abseil refer to each other in circles.
    target_link_libraries(prebake_grpc INTERFACE
        -Wl,--start-group ${grpc_archives} -Wl,--end-group
        $<TARGET_OBJECTS:prebake_arc4random> Threads::Threads)
else()
    target_link_libraries(prebake_grpc INTERFACE ${PREBAKE_GRPC_LINK_LIBRARIES})
endif()
# After gRPC, which uses it.
target_link_libraries(prebake_grpc INTERFACE prebake_protobuf)
