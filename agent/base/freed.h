#pragma once

namespace prebake {

/// Calls a C library's function at the end of an object's life: the deleter of a std::unique_ptr.
template <auto free_function>
struct Freed {
    template <typename T>
    void operator()(T* object) const {
        free_function(object);
    }
};

}  // namespace prebake
