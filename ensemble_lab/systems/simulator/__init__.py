"""Simulators: pools of servers, machines that batch as engines do, and policies under load."""
