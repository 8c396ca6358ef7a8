/**
 * The whole of what the agent may do on a node, as data: enrolment, the lab and the tests against a real node create
 * exactly this, and the self-check compares what the token really holds with it.
 *
 * Containment is one pool whose members are declared before they exist [R5]: Proxmox accepts VMIDs that do not exist
 * yet, and roles on the pool apply to them. Ids outside it, other storages and the node itself stay out of reach.
 * Recorded against Proxmox VE 9.2 and enough there for the whole life of a guest.
 */

export interface AclSet {
  readonly roles: readonly AclRole[];
  readonly entries: readonly AclEntry[];
  readonly pool: string;
}

export interface AclRole {
  readonly name: string;
  readonly privileges: readonly Privilege[];
}

export interface Privilege {
  readonly name: string;
  /** What the agent cannot do without it. */
  readonly why: string;
}

export interface AclEntry {
  readonly path: string;
  readonly role: string;
  readonly propagate: boolean;
}

const guestRole: AclRole = {
  name: 'FelhomGuest',
  privileges: [
    { name: 'VM.Allocate', why: 'restore and destroy guests' },
    { name: 'VM.Audit', why: 'see guests, their configs and their state' },
    { name: 'VM.PowerMgmt', why: 'start and stop guests' },
    { name: 'VM.Config.Options', why: 'set boot order, description, tags and environment' },
    { name: 'VM.Config.CPU', why: 'set cores' },
    { name: 'VM.Config.Memory', why: 'set memory and swap' },
    { name: 'VM.Config.Disk', why: 'add and grow volumes' },
    { name: 'VM.Config.Network', why: 'set network interfaces and hostname' },
    { name: 'VM.Snapshot', why: 'take and roll back snapshots' },
    { name: 'VM.Backup', why: 'back guests up, and read the golden image' },
    { name: 'Pool.Audit', why: 'see which VMIDs are in the pool' },
  ],
};
const storeRole: AclRole = {
  name: 'FelhomStore',
  privileges: [
    { name: 'Datastore.AllocateSpace', why: 'put volumes and backups on the storage' },
    { name: 'Datastore.Audit', why: 'see free space and what lies on the storage' },
  ],
};
const nodeRole: AclRole = {
  name: 'FelhomNode',
  privileges: [{ name: 'Sys.Audit', why: 'see the state of the node and all tasks on it' }],
};
const netRole: AclRole = {
  name: 'FelhomNet',
  privileges: [{ name: 'SDN.Use', why: 'connect guests to the bridge' }],
};

/** The set for one host. `storages` are all on which guests' volumes, backups or golden images lie. */
export function requiredAcl(host: {
  readonly pool: string;
  readonly storages: readonly string[];
  readonly node: string;
  readonly bridges: readonly string[];
}): AclSet {
  return {
    pool: host.pool,
    roles: [guestRole, storeRole, nodeRole, netRole],
    entries: [
      { path: `/pool/${host.pool}`, role: guestRole.name, propagate: true },
      ...host.storages.map((storage) => ({ path: `/storage/${storage}`, role: storeRole.name, propagate: true })),
      { path: `/nodes/${host.node}`, role: nodeRole.name, propagate: false },
      ...host.bridges.map((bridge) => ({
        path: `/sdn/zones/localnetwork/${bridge}`,
        role: netRole.name,
        propagate: true,
      })),
    ],
  };
}

/** Powers that the agent must never hold, anywhere: with any of them a stolen token is the host, or all its data. */
export const dangerousPrivileges: ReadonlyMap<string, string> = new Map([
  ['Datastore.Allocate', 'deletes any volume, reads any archive, defines storages: as good as root'],
  ['Permissions.Modify', 'grants itself everything'],
  ['User.Modify', 'makes users and tokens'],
  ['Realm.Allocate', 'changes how people log in'],
  ['Realm.AllocateUser', 'makes users'],
  ['Group.Allocate', 'changes groups'],
  ['Pool.Allocate', 'moves guests of others into its reach'],
  ['Sys.Modify', 'changes the node, makes privileged containers'],
  ['Sys.PowerMgmt', 'turns the node off'],
  ['Sys.Console', 'opens a shell on the node'],
  ['Sys.AccessNetwork', 'makes the node fetch from the network'],
  ['Sys.Incoming', 'takes in migrations'],
  ['VM.Console', 'opens a shell in guests'],
  ['VM.Migrate', 'moves guests to other nodes'],
  ['VM.Replicate', 'copies guests to other nodes'],
  ['VM.Monitor', 'reaches into virtual machines'],
  ['VM.GuestAgent.Unrestricted', 'runs commands in virtual machines'],
  ['VM.GuestAgent.FileWrite', 'writes files in virtual machines'],
  ['VM.GuestAgent.FileRead', 'reads files in virtual machines'],
  ['Mapping.Modify', 'changes hardware mappings'],
  ['Mapping.Use', 'gives guests host hardware'],
  ['SDN.Allocate', 'changes virtual networks'],
]);
