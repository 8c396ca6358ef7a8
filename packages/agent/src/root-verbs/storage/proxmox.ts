/**
 * Entries of Proxmox's storage configuration, by Proxmox's own library. What is written comes on stdin: a password in the
 * arguments could be read by everybody on the host. `pvesm` takes one there only.
 */
import { z } from 'zod';
import type { HostCommand } from '../../ports/host-command.ts';
import type { EntryOptions } from '../../storage-entry.ts';

/**
 * For `perl -e`; stdin: `{"act":"read|create|update|replace|remove","storage":…,"pool":…,"params":{…},"remove":[…]}`. The last line that
 * it prints is what is there afterwards. PVE: API2/Storage/Config.pm create, update,
 * delete; API2/Pool.pm update_pool. `replace` does as create does, on the section alone: what is there is written over once the
 * other one could be activated, and never deleted, which would drop the rights on its path, its pools and its keys with it.
 */
export const storageEntryProgram = `use strict; use warnings; use JSON;
use PVE::RPCEnvironment; use PVE::Cluster; use PVE::Storage; use PVE::API2::Storage::Config; use PVE::API2::Pool;
my $in = decode_json(do { local $/; <STDIN> });
my ($act, $id, $pool) = @$in{qw(act storage pool)};
die "no storage\\n" if !defined($id) || $id !~ /^[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]\\z/;
PVE::RPCEnvironment->setup_default_cli_env();
my $params = $in->{params} // {};
if ($act eq 'create') {
  PVE::API2::Storage::Config->create({ %$params, storage => $id });
} elsif ($act eq 'update') {
  my $remove = join(',', @{ $in->{remove} // [] });
  PVE::API2::Storage::Config->update({ %$params, storage => $id, $remove ne '' ? (delete => $remove) : () });
} elsif ($act eq 'remove') {
  PVE::API2::Storage::Config->delete({ storage => $id });
} elsif ($act eq 'replace') {
  my %new = %$params;
  my ($type, $password) = delete @new{qw(type password)};
  PVE::API2::Storage::Config->update({ storage => $id, password => $password }) if defined($password);
  PVE::Storage::lock_storage_config(sub {
    my $all = PVE::Storage::config();
    my $old = PVE::Storage::storage_config($all, $id);
    die "it is of another type\\n" if $old->{type} ne $type;
    $new{path} = $old->{path} if defined($old->{path});
    my $entry = PVE::Storage::Plugin->lookup($type)->check_config($id, \\%new, 1, 1);
    defined($old->{$_}) and $entry->{$_} = $old->{$_} for qw(encryption-key master-pubkey);
    $all->{ids}->{$id} = $entry;
    PVE::Storage::activate_storage($all, $id);
    PVE::Storage::write_config($all);
  }, 'replace storage failed');
} elsif ($act ne 'read') {
  die "no such act\\n";
}
my $member = sub { PVE::Cluster::cfs_read_file('user.cfg')->{pools}->{$pool}->{storage}->{$id} ? JSON::true : JSON::false };
PVE::API2::Pool->update_pool({ poolid => $pool, storage => $id }) if $act !~ /^(?:read|remove)\\z/ && !$member->();
PVE::Cluster::cfs_update();
my $config = PVE::Storage::config();
my $entry = PVE::Storage::storage_config($config, $id, 1);
my $said;
if ($entry) {
  for my $key (keys %$entry) {
    my $value = $entry->{$key};
    $value = join(',', sort grep { $value->{$_} } keys %$value) if ref($value) eq 'HASH' && $key =~ /^(?:content|nodes)\\z/;
    $said->{$key} = "$value" if defined($value) && !ref($value);
  }
}
print "\\n", encode_json({ entry => $said, pooled => $member->() }), "\\n";
`;

const answer = z.strictObject({ entry: z.record(z.string(), z.string()).nullable(), pooled: z.boolean() });

export interface FoundEntry {
  /** `undefined`: Proxmox has none of that name. */
  readonly entry: EntryOptions | undefined;
  /** It is in the agent's pool. */
  readonly pooled: boolean;
}

export type EntryAct =
  | { readonly act: 'read' }
  | { readonly act: 'create' | 'replace'; readonly params: EntryOptions }
  | { readonly act: 'remove' }
  | { readonly act: 'update'; readonly params: EntryOptions; readonly remove: readonly string[] };

export type EntryAnswer =
  | ({ readonly is: 'found' } & FoundEntry)
  /** Proxmox did not do it, or did not say so; look again. */
  | { readonly is: 'failed'; readonly text: string };

/** Never throws: what Proxmox could not be asked is `failed` too. */
export async function onEntry(
  perl: HostCommand,
  { storage, pool }: { readonly storage: string; readonly pool: string },
  act: EntryAct,
): Promise<EntryAnswer> {
  try {
    const { code, stdout, stderr } = await perl(['-e', storageEntryProgram], JSON.stringify({ ...act, storage, pool }));
    if (code !== 0) return failed(stderr === '' ? `perl ended with ${code}` : stderr);
    const parsed = answer.safeParse(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? ''));
    if (!parsed.success) return failed('perl answered something else');
    return { is: 'found', entry: parsed.data.entry ?? undefined, pooled: parsed.data.pooled };
  } catch (error) {
    return failed(error instanceof SyntaxError ? 'perl answered no JSON' : String(error));
  }
}

/**
 * For `perl -e`; stdin: `{"server":…,"port":…}`. The last line that it prints is empty where somebody listens there, else why
 * nobody does. Perl, because it is what asks servers on this host anyway.
 */
export const reachProgram = `use strict; use warnings; use JSON; use IO::Socket::IP;
my $in = decode_json(do { local $/; <STDIN> });
my $socket = IO::Socket::IP->new(PeerHost => $in->{server}, PeerPort => $in->{port}, Timeout => 10);
print "\\n", encode_json({ why => $socket ? '' : ($@ || $! || 'no answer') . '' }), "\\n";
`;

const reachAnswer = z.strictObject({ why: z.string() });

/** Why a server cannot be reached; `undefined`: somebody listens there, whoever that is. Waits for 10 seconds at most. */
export async function reachServer(
  perl: HostCommand,
  { server, port }: { readonly server: string; readonly port: number },
): Promise<string | undefined> {
  try {
    const { stdout } = await perl(['-e', reachProgram], JSON.stringify({ server, port }));
    const said = reachAnswer.parse(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? ''));
    return said.why === '' ? undefined : `${server} port ${port} does not answer: ${said.why.trim().slice(0, 300)}`;
  } catch (error) {
    return `${server} port ${port} cannot be asked: ${String(error).slice(0, 300)}`;
  }
}

const failed = (text: string): EntryAnswer => ({ is: 'failed', text: text.trim().slice(0, 500) });
