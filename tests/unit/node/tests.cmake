prebake_unit_tests(node
    SOURCES accounts_random_test.cc accounts_test.cc agenda_test.cc conditions_test.cc
            counted_starts_test.cc digest_key_test.cc event_queue_test.cc guard_test.cc
            image_health_test.cc kubelet_advice_test.cc ledger_file_test.cc ledger_keeper_test.cc
            pin_budget_test.cc protected_images_test.cc pull_reason_test.cc start_class_test.cc)
