# prebake_protobuf: Protocol Buffers, static or shared as PREBAKE_STATIC says.

include_guard(GLOBAL)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PREBAKE_PROTOBUF REQUIRED protobuf>=3.21)
find_program(PREBAKE_PROTOC protoc REQUIRED)

# The archives of the named libraries. A name without an archive of its own (rt, pthread) is part of libc
# from glibc 2.34 on; libatomic's archive lies in the compiler's directory and is empty weight if unused.
function(prebake_archives out)
    set(archives "")
    foreach(name IN LISTS ARGN)
        if(name MATCHES "^(rt|pthread|dl|m)$")
            continue()
        elseif(name STREQUAL "atomic")
            list(APPEND archives -l:libatomic.a)
            continue()
        endif()
        find_library(PREBAKE_ARCHIVE_${name} NAMES lib${name}.a REQUIRED)
        list(APPEND archives ${PREBAKE_ARCHIVE_${name}})
    endforeach()
    set(${out} ${archives} PARENT_SCOPE)
endfunction()

add_library(prebake_protobuf INTERFACE)
target_include_directories(prebake_protobuf SYSTEM INTERFACE ${PREBAKE_PROTOBUF_INCLUDE_DIRS})
if(PREBAKE_STATIC)
    prebake_archives(protobuf_archives protobuf z)
    target_link_libraries(prebake_protobuf INTERFACE ${protobuf_archives} Threads::Threads)
else()
    target_link_libraries(prebake_protobuf INTERFACE ${PREBAKE_PROTOBUF_LINK_LIBRARIES})
endif()
