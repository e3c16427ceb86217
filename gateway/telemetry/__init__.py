"""What a process tells its operators: metrics, and structured logs."""
