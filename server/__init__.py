"""The server: a Starlette app over the schema, its transports, pages, health and metrics.

HTTP and WebSocket come in, operations go to the schema. It knows NATS only through the bus that
it is given.
"""
