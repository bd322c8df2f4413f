prebake_unit_tests(machine ROOT
    SOURCES drop_ins_test.cc instance_test.cc metadata_test.cc named_files_test.cc pattern_test.cc root_test.cc)
