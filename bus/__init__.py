"""What all sides share about NATS: subjects, streams, messages, client and the embedded server.

The only folder that imports nats. Everything above it works with the types of this folder and
never sees a NATS message, a header or a subject pattern.
"""
