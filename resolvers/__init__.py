"""What stands behind the fields: look-ups in the registry, and the latest state of each community, live.

Frames and registry versions come in from the bus, domain objects go out. It knows neither
GraphQL nor HTTP.
"""
