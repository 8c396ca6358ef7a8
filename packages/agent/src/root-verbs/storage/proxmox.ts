/**
 * Entries of Proxmox's storage configuration, by Proxmox's own library. What is written comes on stdin: a password in the
 * arguments could be read by everybody on the host. `pvesm` takes one there only.
 */
import { z } from 'zod';
import type { HostCommand } from '../../ports/host-command.ts';
import type { EntryOptions } from '../../storage-entry.ts';

/**
 * For `perl -e`; stdin: `{"act":"read|create|update","storage":…,"pool":…,"params":{…},"remove":[…]}`. The last line that
 * it prints is what is there afterwards. PVE: API2/Storage/Config.pm create, update; API2/Pool.pm update_pool.
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
} elsif ($act ne 'read') {
  die "no such act\\n";
}
my $member = sub { PVE::Cluster::cfs_read_file('user.cfg')->{pools}->{$pool}->{storage}->{$id} ? JSON::true : JSON::false };
PVE::API2::Pool->update_pool({ poolid => $pool, storage => $id }) if $act ne 'read' && !$member->();
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
  | { readonly act: 'create'; readonly params: EntryOptions }
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

const failed = (text: string): EntryAnswer => ({ is: 'failed', text: text.trim().slice(0, 500) });
