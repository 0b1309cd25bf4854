"""The public API: types, root fields, and the printed SDL in schema.graphql.

Domain objects of `resolvers` and `bus` come in, GraphQL values go out. Each field names the
attribute of the domain object that it shows; no type of the API holds state of its own.
"""
