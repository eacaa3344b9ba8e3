{{ harvest.stitch('contacts') }}
