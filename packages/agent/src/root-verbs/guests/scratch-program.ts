/**
 * The child of `scratch-read`. It joins the namespaces of a guest itself and starts nothing in them: a program that were
 * started there would be the guest's own. Perl, because a process that joins a user namespace has one thread, and because
 * each node of Proxmox has it. Everything it needs is loaded before it joins; afterwards nothing can be.
 */

/**
 * For `perl -e`. Arguments: pid and start of the guest's first process, its uid 0 on the host, seconds until it gives up,
 * entries and bytes that it looks at. stdin: `[{"path":"/srv","samples":["a/b"]}]`. stdout: `[{"files":1,"bytes":2,
 * "samples":[null,[3,"<sha256>"]]}]`, in that order. Ends with another code than 0 for whatever is not the whole.
 *
 * openat2(2) is number 437 everywhere; its RESOLVE_ flags: 1 NO_XDEV, 2 NO_MAGICLINKS, 4 NO_SYMLINKS, 8 BENEATH.
 */
export const scratchProgram = `use strict; use warnings; no warnings 'recursion';
use Fcntl qw(:mode O_RDONLY O_DIRECTORY O_NOFOLLOW O_NONBLOCK); use POSIX (); use Errno qw(ENOENT ELOOP ENOTDIR EXDEV);
use Digest::SHA (); use JSON::PP ();
my ($pid, $start, $host_uid, $seconds, $most_entries, $most_bytes) = map { /^([0-9]+)\\z/ ? $1 : die "no number\\n" } @ARGV;
die "no guest\\n" if $pid < 2 || $host_uid < 1;
my $asked = JSON::PP->new->utf8->decode(do { local $/; <STDIN> });
my $setns = { x86_64 => 308, aarch64 => 268 }->{(POSIX::uname())[4]} // die "this machine is not known\\n";
my $cloexec = 02000000;
Digest::SHA->new(256)->add('x')->hexdigest;
open(my $user, '<', "/proc/$pid/ns/user") or die "its user namespace: $!\\n";
open(my $mounts, '<', "/proc/$pid/ns/mnt") or die "its mounts: $!\\n";
open(my $stat, '<', "/proc/$pid/stat") or die "its first process: $!\\n";
my $line = <$stat>; close($stat);
die "its first process is another one now\\n" if (split ' ', substr($line, rindex($line, ')') + 2))[19] ne $start;
alarm($seconds);
@INC = ();
syscall($setns, fileno($user), 0x10000000) == 0 or die "cannot join its user namespace: $!\\n";
syscall($setns, fileno($mounts), 0x00020000) == 0 or die "cannot join its mounts: $!\\n";
close($user); close($mounts);
$) = '0 0'; POSIX::setgid(0) // die "cannot be its gid 0: $!\\n"; POSIX::setuid(0) // die "cannot be its uid 0: $!\\n";
die "is not its uid 0\\n" if $< != 0 || $> != 0 || $( !~ /^0(?: 0)*\\z/ || $) !~ /^0(?: 0)*\\z/;

my ($entries, $read) = (0, 0);
# A handle below another one, or 0 where there is none that may be opened.
sub at {
  my ($from, $name, $flags, $resolve) = @_;
  my $how = pack('QQQ', $flags | O_RDONLY | O_NOFOLLOW | O_NONBLOCK | $cloexec, 0, $resolve);
  my $fd = syscall(437, $from, "$name", $how, 24);
  if ($fd < 0) {
    return 0 if $!{ENOENT} || $!{ELOOP} || $!{ENOTDIR} || $!{EXDEV};
    die "cannot open: $!\\n";
  }
  open(my $handle, '<&=', $fd) or die "cannot use what was opened: $!\\n";
  return $handle;
}
sub walk {
  my ($folder, $path, $depth, $device, $others, $sum) = @_;
  die "deeper than 250 folders\\n" if $depth > 250;
  chdir($folder) or die "cannot enter: $!\\n";
  opendir(my $listing, '.') or die "cannot list: $!\\n";
  my @folders;
  while (defined(my $name = readdir($listing))) {
    next if $name eq '.' || $name eq '..';
    die "more than $most_entries entries\\n" if ++$entries > $most_entries;
    my @facts = lstat($name);
    next if !@facts;
    if (S_ISREG($facts[2])) { $sum->{files} += 1; $sum->{bytes} += $facts[7]; }
    elsif (S_ISDIR($facts[2]) && $facts[0] == $device && !$others->{"$path/$name"}) { push @folders, $name; }
  }
  closedir($listing);
  for my $name (@folders) {
    my $below = at(fileno($folder), $name, O_DIRECTORY, 1 | 2 | 4 | 8) or next;
    walk($below, "$path/$name", $depth + 1, $device, $others, $sum);
  }
}
sub sample {
  my ($root, $name) = @_;
  return 'null' if $name =~ /\\0/;
  my $file = at(fileno($root), $name, 0, 1 | 2 | 4 | 8) or return 'null';
  return 'null' if !S_ISREG((stat($file))[2]);
  my ($sha, $size) = (Digest::SHA->new(256), 0);
  while (1) {
    my $got = sysread($file, my $piece, 1048576) // die "cannot read: $!\\n";
    last if $got == 0;
    $size += $got;
    die "more than $most_bytes bytes to read\\n" if ($read += $got) > $most_bytes;
    $sha->add($piece);
  }
  return "[$size,\\"" . $sha->hexdigest . '"]';
}
my %roots = map { $_->{path} => 1 } @$asked;
my @found;
for my $volume (@$asked) {
  my $path = $volume->{path};
  my $root = at(-100, $path, O_DIRECTORY, 2 | 4) or die "there is no folder at $path\\n";
  my %others = %roots; delete $others{$path};
  my $sum = { files => 0, bytes => 0 };
  walk($root, $path eq '/' ? '' : $path, 0, (stat($root))[0], \\%others, $sum);
  push @found, sprintf('{"files":%d,"bytes":%d,"samples":[%s]}', $sum->{files}, $sum->{bytes},
    join(',', map { sample($root, do { my $name = $_; utf8::encode($name); $name }) } @{$volume->{samples}}));
}
print '[' . join(',', @found) . ']';
`;
