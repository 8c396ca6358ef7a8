/**
 * The root helper's stand-in on the fake node: the same verbs, refusals and receipts as the real one will have. It
 * proves its case from what root can see on the node, never from what the agent says [R19].
 */
import type { HelperAnswer, HelperRequest } from '@felhom/agent';
import { perlText } from '../fake-pve/core.ts';
import type { HostActions } from '../fake-pve/guests/index.ts';
import type { FakeNode as AnyNode } from '../fake-pve/node.ts';
import type { Storage } from '../fake-pve/storage/index.ts';
import { archiveDigest, keyTest, scratchRead } from './root-reads.ts';

type FakeNode = AnyNode<Storage>;

export interface RootHelperRange {
  readonly pool: string;
  /** VMIDs that the agent may have guests at, from the root-owned range file. */
  readonly inRange: (vmid: number) => boolean;
  readonly isScratch: (vmid: number) => boolean;
  /** `user@realm!token` of the agent. */
  readonly token: string;
}

export interface RootHelper {
  answer(request: HelperRequest): Promise<HelperAnswer>;
}

const done = (extra: Partial<Extract<HelperAnswer, { is: 'done' }>> = {}): HelperAnswer => ({
  v: 1,
  is: 'done',
  ...extra,
});
const refuse = (text: string): HelperAnswer => ({ v: 1, is: 'refused', text });

const unlockable = new Set(['create', 'backup', 'snapshot', 'snapshot-delete', 'rollback', 'disk']);

export function createRootHelper(node: FakeNode, host: HostActions, range: RootHelperRange): RootHelper {
  const receipts = new Map<string, { operation: string; verb: string; at: number }>();

  const once = async (
    request: Extract<HelperRequest, { operation: string }> & { vmid: number },
    work: () => Promise<HelperAnswer>,
  ): Promise<HelperAnswer> => {
    if (receipts.has(request.operation)) return done();
    if (!range.inRange(request.vmid)) return refuse(`cannot ${request.verb}: VMID ${request.vmid} is not in the range`);
    const answer = await work();
    if (answer.is === 'done')
      receipts.set(request.operation, { operation: request.operation, verb: request.verb, at: node.clock.now() });
    return answer;
  };

  /** A list without the volumes of one storage would be taken for the whole, and prove that nothing is left. */
  const blind = (vmid: number): HelperAnswer | undefined => {
    const silent = silentStorage(node);
    return silent === undefined
      ? undefined
      : { v: 1, is: 'busy', text: `cannot list the volumes of ${vmid}: ${silent}` };
  };

  const reapStub = async (vmid: number, volumes: readonly string[]): Promise<HelperAnswer> => {
    const unseen = blind(vmid);
    if (unseen !== undefined) return unseen;
    const facts = host.stubFacts(vmid);
    const { newestCreate } = facts;
    if (newestCreate === undefined || newestCreate.user !== range.token)
      return refuse(`cannot reap ${vmid}: its newest create task is not the agent's`);
    if (newestCreate.end.is === 'running') return refuse(`cannot reap ${vmid}: its worker still runs`);
    if (newestCreate.end.exitStatus === 'OK') return refuse(`cannot reap ${vmid}: its create task ended well`);
    if (facts.config !== undefined && facts.config.trim() !== 'lock: create')
      return refuse(`cannot reap ${vmid}: its config is more than a locked stub`);
    const present = new Set(node.storage.volumesOf(vmid).map((volume) => volume.volid));
    const surplus = [...present].filter((volid) => !volumes.includes(volid));
    if (surplus.length > 0) return refuse(`cannot reap ${vmid}: volumes nobody named lie there: ${surplus.join(', ')}`);
    host.unmount(vmid);
    for (const volid of volumes) if (present.has(volid)) await node.storage.free(volid);
    if (facts.config !== undefined) {
      host.unlock(vmid);
      host.removeConfig(vmid);
    }
    node.access.forgetGuest(vmid);
    node.access.addGuestToPool(vmid, range.pool);
    return done();
  };

  const unlock = (vmid: number): HelperAnswer => {
    const lock = /^lock: (\S+)$/m.exec(host.rawConfig(vmid) ?? '')?.[1];
    if (lock === undefined) return done();
    if (!unlockable.has(lock)) return refuse(`cannot unlock ${vmid}: lock ${lock} is not cleared without reaping`);
    if (node.tasks.running().some((task) => task.id === String(vmid)))
      return { v: 1, is: 'busy', text: `cannot unlock ${vmid}: a task on it still runs` };
    host.unlock(vmid);
    return done();
  };

  return {
    answer: async (request) => {
      switch (request.verb) {
        case 'volumes-of':
          return (
            blind(request.vmid) ??
            done({ volumes: node.storage.volumesOf(request.vmid).map((volume) => volume.volid as never) })
          );
        case 'reap-stub':
          return once(request, () => reapStub(request.vmid, request.volumes));
        case 'unlock':
          return once(request, () => Promise.resolve(unlock(request.vmid)));
        case 'pool-ensure':
          return once(request, () => {
            node.access.addGuestToPool(request.vmid, range.pool);
            return Promise.resolve(done());
          });
        case 'archive-digest':
          return archiveDigest(node, request.archive);
        case 'scratch-read':
          return range.isScratch(request.vmid)
            ? scratchRead(node, request.vmid, request.volumes)
            : refuse(`cannot scratch-read ${request.vmid}: it is not in the range of scratch guests`);
        case 'key-test':
          return keyTest(node, request.archive);
        case 'guest-mounts':
        case 'trust-update':
        case 'break-glass-open':
        case 'break-glass-close':
        case 'break-glass-show':
        case 'witness':
        case 'mount':
        case 'unmount':
        case 'storage-define':
        case 'target-apply':
        case 'tunnel-apply':
        case 'tunnel-restart':
        case 'tunnel-show':
        case 'credential-test':
        case 'smart':
          return refuse(`cannot ${request.verb}: this stand-in does not know how`);
        case 'show':
          return done({ receipt: receipts.get(request.operation) ?? null });
      }
    },
  };
}

/** Why a storage that holds volumes does not answer; `undefined` = all do. */
function silentStorage(node: FakeNode): string | undefined {
  for (const storage of node.storage.ids()) {
    if (!node.storage.isEnabled(storage) || !node.storage.hasContent(storage, 'rootdir')) continue;
    try {
      node.storage.activate(storage);
    } catch (error) {
      return perlText(error).trim();
    }
  }
  return undefined;
}
