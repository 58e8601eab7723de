# Makes temporary roots in private mounts and a private network. Sourced, not run.
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /mnt
ip link set lo up
copies=0

# copy_on HOST_FOLDER FOLDER: copies on write (overlay).
copy_on() {
  local layer=/mnt/copy$((copies++))
  mkdir -p "$layer/upper" "$layer/work" "$2"
  mount -t overlay -o "lowerdir=$1,upperdir=$layer/upper,workdir=$layer/work" overlay "$2"
}

# give_kernel ROOT: mounts /proc, /sys and /dev without any hardware.
give_kernel() {
  local device
  mkdir -p "$1/proc" "$1/sys" "$1/dev"
  mount -t proc proc "$1/proc"
  mount -t sysfs -o ro sysfs "$1/sys"
  mount -t tmpfs -o mode=755 tmpfs "$1/dev"
  for device in null zero full random urandom tty; do
    : > "$1/dev/$device"
    mount --bind "/dev/$device" "$1/dev/$device"
  done
  mkdir "$1/dev/pts" "$1/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$1/dev/pts"
  mount -t tmpfs tmpfs "$1/dev/shm"
  ln -s pts/ptmx "$1/dev/ptmx"
  ln -s /proc/self/fd "$1/dev/fd"
}
