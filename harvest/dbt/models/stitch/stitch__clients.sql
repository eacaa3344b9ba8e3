{{ harvest.stitch('clients') }}
