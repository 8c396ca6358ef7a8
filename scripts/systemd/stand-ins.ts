/** Programs that stand in for others inside a container. Perl, because every Debian has it and nothing has to be built. */
import type { Container } from './container.ts';

const notify = [
  'use strict; use Socket; use IO::Socket::INET;',
  '$SIG{TERM} = sub { exit 0 };',
  'socket(my $n, PF_UNIX, SOCK_DGRAM, 0); send($n, "READY=1", 0, sockaddr_un($ENV{NOTIFY_SOCKET})) if $ENV{NOTIFY_SOCKET};',
];

const script = (...lines: readonly string[]): string => ['#!/usr/bin/perl', ...lines, ''].join('\n');

/** Says that it is ready, and stays. */
export async function placeNotifier(container: Container, file: string): Promise<void> {
  await container.write(file, script(...notify, 'sleep 1000 while 1;'), '0755');
}

/** A cloudflared that does what it is told on its metrics port: each line `HOST PORT` is answered with what came of it. */
export async function placeCloudflared(container: Container): Promise<void> {
  await container.write(
    '/usr/bin/cloudflared',
    script(
      ...notify,
      'my $l = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 20241, Listen => 9, ReuseAddr => 1) or die;',
      'while (my $c = $l->accept) {',
      '  my $asked = <$c>; my ($host, $port) = split " ", $asked;',
      '  my $s = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Timeout => 2);',
      '  print $c $s ? "reached\\n" : "not: $@\\n"; close $c;',
      '}',
    ),
    '0755',
  );
}

/** Accepts on every address and answers nothing, ever. */
export const silentServer = (port: number): readonly string[] => [
  'perl',
  '-MIO::Socket::INET',
  '-e',
  `my $l = IO::Socket::INET->new(LocalPort => ${port}, Listen => 99, ReuseAddr => 1) or die; my @c; while (my $c = $l->accept) { push @c, $c }`,
];

/** Sends one line to a TCP port and prints what comes back. */
export const askPort = (port: number, line: string): readonly string[] => [
  'perl',
  '-MIO::Socket::INET',
  '-e',
  'my ($p, $l) = @ARGV; my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $p, Timeout => 3) or die "no connection: $@"; print $s "$l\\n"; print <$s>',
  String(port),
  line,
];

/** Sends its stdin to the socket of the helper, says that this was all, and prints the answer. */
export const askHelper: readonly string[] = [
  'perl',
  '-MIO::Socket::UNIX',
  '-e',
  'my $s = IO::Socket::UNIX->new(Peer => "/run/felhom-root/helper.sock") or die "no connection: $!\\n"; local $/; $SIG{PIPE} = "IGNORE"; print $s <STDIN>; $s->flush; shutdown($s, 1); print <$s>',
];
