"""The watch: documents, client and faces. It knows the network only and imports nothing else of Commonwatt."""
