{{ harvest.stitch('estimates') }}
