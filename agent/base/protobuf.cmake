# prebake_protobuf: Protocol Buffers, static or shared as PREBAKE_STATIC says.
# prebake_proto_library: a library of generated code.
# generated_sources: all generated code, without compiling it.

include_guard(GLOBAL)
include(${PROJECT_SOURCE_DIR}/packaging/linked.cmake)
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
        prebake_linked_file(${PREBAKE_ARCHIVE_${name}})
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

add_custom_target(generated_sources)

# prebake_proto_library(NAME MESSAGES files... [SERVICES files...] [LINK libraries...])
#
# Compiles NAME.proto of the current directory into the build directory. SERVICES also get gRPC stubs. All
# generated messages are one compilation and all stubs another: their headers cost more time than their
# code.
function(prebake_proto_library library)
    cmake_parse_arguments(PROTO "" "" "MESSAGES;SERVICES;LINK" ${ARGN})
    cmake_path(RELATIVE_PATH CMAKE_CURRENT_SOURCE_DIR BASE_DIRECTORY ${PROJECT_SOURCE_DIR}
        OUTPUT_VARIABLE directory)
    set(generated "")
    set(messages "")
    set(stubs "")
    foreach(name IN LISTS PROTO_MESSAGES PROTO_SERVICES)
        set(proto ${CMAKE_CURRENT_SOURCE_DIR}/${name}.proto)
        set(base ${PROJECT_BINARY_DIR}/${directory}/${name})
        set(outputs ${base}.pb.cc ${base}.pb.h)
        set(grpc_options "")
        # Every generated file has statics with these two names.
        string(MAKE_C_IDENTIFIER ${name} suffix)
        string(APPEND messages
            "#define schemas schemas_${suffix}\n"
            "#define file_default_instances file_default_instances_${suffix}\n"
            "#include \"${directory}/${name}.pb.cc\"\n"
            "#undef schemas\n"
            "#undef file_default_instances\n")
        if(name IN_LIST PROTO_SERVICES)
            list(APPEND outputs ${base}.grpc.pb.cc ${base}.grpc.pb.h)
            set(grpc_options --grpc_out=${PROJECT_BINARY_DIR}
                --plugin=protoc-gen-grpc=${PREBAKE_GRPC_CPP_PLUGIN})
            string(APPEND stubs "#include \"${directory}/${name}.grpc.pb.cc\"\n")
        endif()
        add_custom_command(
            OUTPUT ${outputs}
            COMMAND ${PREBAKE_PROTOC} -I ${PROJECT_SOURCE_DIR} --cpp_out=${PROJECT_BINARY_DIR}
                    ${grpc_options} ${proto}
            DEPENDS ${proto}
            COMMENT "Generating ${directory}/${name}"
            VERBATIM)
        list(APPEND generated ${outputs})
    endforeach()
    set_source_files_properties(${generated} PROPERTIES HEADER_FILE_ONLY ON)
    add_custom_target(${library}_sources DEPENDS ${generated})
    add_dependencies(generated_sources ${library}_sources)
    set(together ${CMAKE_CURRENT_BINARY_DIR}/all_messages.cc)
    file(CONFIGURE OUTPUT ${together} CONTENT "${messages}" @ONLY)
    if(stubs)
        file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/all_stubs.cc CONTENT "${stubs}" @ONLY)
        list(APPEND together ${CMAKE_CURRENT_BINARY_DIR}/all_stubs.cc)
    endif()

    # Without prebake_options: what protoc generates does not follow our warnings.
    add_library(${library} STATIC ${together} ${generated})
    target_include_directories(${library} SYSTEM PUBLIC ${PROJECT_BINARY_DIR})
    target_link_libraries(${library} PUBLIC ${PROTO_LINK} prebake_protobuf)
    if(PREBAKE_SANITIZE)
        # Containers that pass between generated code and ours must agree on their annotations.
        target_compile_options(${library} PRIVATE -fsanitize=${PREBAKE_SANITIZE})
    endif()
endfunction()
