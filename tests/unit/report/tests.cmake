prebake_unit_tests(report THREADED
    SOURCES ask_daemon_test.cc conditions_test.cc documents_test.cc endpoint_faults_test.cc endpoint_test.cc
            goal_test.cc hydration_condition_test.cc image_rows_test.cc listeners_test.cc metrics_test.cc
            node_hydration_test.cc port_owner_test.cc pull_advice_test.cc router_test.cc ssm_inventory_test.cc
            status_format_test.cc)
