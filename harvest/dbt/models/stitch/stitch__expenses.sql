{{ harvest.stitch('expenses') }}
