"""The ways in which requests reach a service's pods, each behind `provider.Provider`."""
