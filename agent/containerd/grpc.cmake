# prebake_grpc: the library of the containerd client, static or shared as PREBAKE_STATIC says. We talk to
# unix sockets only, so gRPC without TLS ("unsecure") is enough.
#
# Debian's CMake package of gRPC describes only the shared libraries. pkg-config knows the static closure
# of Abseil, but not the private dependencies of gRPC; they are listed here.

include_guard(GLOBAL)
include(${PROJECT_SOURCE_DIR}/agent/base/protobuf.cmake)

# Asked once and only for what we use: each answer takes pkg-config a second, because gRPC requires dozens of
# packages, and pkg_check_modules asks a dozen times.
function(prebake_ask_pkg_config out)
    if(DEFINED CACHE{${out}})
        return()
    endif()
    execute_process(COMMAND ${PKG_CONFIG_EXECUTABLE} ${ARGN} "grpc++_unsecure >= 1.51"
        OUTPUT_VARIABLE answer OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    separate_arguments(answer)
    set(${out} "${answer}" CACHE INTERNAL "pkg-config ${ARGN} grpc++_unsecure")
endfunction()
prebake_ask_pkg_config(PREBAKE_GRPC_INCLUDE_FLAGS --cflags-only-I)
if(PREBAKE_STATIC)
    prebake_ask_pkg_config(PREBAKE_GRPC_STATIC_FLAGS --static --libs-only-l)
else()
    prebake_ask_pkg_config(PREBAKE_GRPC_SHARED_FLAGS --libs)
endif()
list(TRANSFORM PREBAKE_GRPC_INCLUDE_FLAGS REPLACE "^-I" "" OUTPUT_VARIABLE grpc_directories)
find_program(PREBAKE_GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)

add_library(prebake_grpc INTERFACE)
target_include_directories(prebake_grpc SYSTEM INTERFACE ${grpc_directories})
if(PREBAKE_STATIC)
    list(TRANSFORM PREBAKE_GRPC_STATIC_FLAGS REPLACE "^-l" "" OUTPUT_VARIABLE names)
    list(FILTER names EXCLUDE REGEX "^-")
    list(APPEND names upb address_sorting cares re2)
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
    target_link_libraries(prebake_grpc INTERFACE ${PREBAKE_GRPC_SHARED_FLAGS})
endif()
# After gRPC, which uses it.
target_link_libraries(prebake_grpc INTERFACE prebake_protobuf)
