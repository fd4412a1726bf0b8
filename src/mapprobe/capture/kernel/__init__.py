"""What runs in the kernel during a recording: BPF programs, the uprobes that start them, the ring of events."""
