"""Who used which joules: pure functions over arrays, in integers, without files, clocks or knowledge of who asked."""
