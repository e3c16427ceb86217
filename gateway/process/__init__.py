"""What a service process is, whatever it serves: sockets, life, health."""
