{{ harvest.stitch('estimate_messages') }}
