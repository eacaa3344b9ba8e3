{{ harvest.like('stitch') }}
