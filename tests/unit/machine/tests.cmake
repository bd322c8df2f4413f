prebake_unit_tests(machine
    SOURCES
            drop_ins_test.cc instance_test.cc metadata_test.cc pattern_test.cc root_test.cc)
