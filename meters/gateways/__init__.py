"""Gateways: real meters, read from lines and from MQTT, their readings published to NATS."""
