package sqlite

import (
	"fmt"
	"syscall"
)

// Magic numbers of statfs(2) for file systems whose locks or shared memory
// don't hold between hosts, which WAL needs (https://www.sqlite.org/wal.html).
var network = map[uint32]string{
	0x6969:     "NFS",
	0x517B:     "SMB",
	0xFE534D42: "SMB2",
	0xFF534D42: "CIFS",
	0x01021997: "9P",
	0x5346414F: "AFS",
	0x6B414653: "AFS",
	0x73757245: "Coda",
	0x00C36400: "Ceph",
	0x0BD00BD0: "Lustre",
	0x47504653: "GPFS",
	0x01161970: "GFS2",
	0x7461636F: "OCFS2",
	0x20030528: "OrangeFS",
	0x564C:     "NCP",
}

func localDisk(dir string) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return fmt.Errorf("file system of %s: %w", dir, err)
	}
	if name, bad := network[uint32(st.Type)]; bad {
		return fmt.Errorf("%s lies on a network file system (%s), where two hosts could write the file: use a local disk, or PostgreSQL", dir, name)
	}
	return nil
}
