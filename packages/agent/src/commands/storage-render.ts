/** Targets and plans as people read them. */
import { leavesHost, targetIdentity } from '@felhom/protocol';
import type { StorageTarget } from '@felhom/protocol';
import { formatBytes, printableLine, renderFacts, renderTable } from '@felhom/terminal';
import type { Style } from '@felhom/terminal';
import type { AttachPlan, RePointPlan, StorageList, WipePlan } from '../root-verbs/storage/index.ts';
import { markFile, mountPathOf } from '../storage-manifest.ts';

export function renderStorage({ targets, free }: StorageList, style: Style): string {
  const declared =
    targets.length === 0
      ? 'No targets are declared. felhom-agent storage attach --help says how to.\n'
      : renderTable(
          [
            { title: 'target' },
            { title: 'is' },
            { title: 'role' },
            { title: 'class' },
            { title: 'storage' },
            { title: 'found' },
          ],
          targets.map(({ declared: { target, state, iops }, wrong }) => [
            target.name,
            targetIdentity(target),
            target.offsite ? `${target.role}, offsite` : target.role,
            iops === undefined ? target.class : `${target.class} (${iops}/s)`,
            target.storage,
            state !== 'attached'
              ? style.paint('dim', [state, ...wrong].join('; '))
              : wrong.length === 0
                ? style.paint('good', 'as declared')
                : style.paint('bad', printableLine(wrong.join('; '))),
          ]),
          style,
        );
  if (free.length === 0) return declared;
  const could = renderTable(
    [{ title: 'device' }, { title: 'file system' }, { title: 'UUID' }, { title: 'size' }, { title: 'disk' }],
    free.map((disk) => [
      disk.device,
      disk.fileSystem,
      disk.uuid,
      formatBytes(disk.sizeBytes),
      printableLine([disk.model, disk.serial, disk.bus].filter((word) => word !== '').join(', ')),
    ]),
    style,
  );
  return `${declared}\nNeither a target nor mounted:\n${could}`;
}

/** What is there, and what would be written where. */
export function renderPlan(plan: AttachPlan, { mountRoot }: { readonly mountRoot: string }, style: Style): string {
  const { target, known, disk, iops, classProposed, entry } = plan;
  const facts: [string, string][] = [
    ['target', `${target.name}, ${target.type}, ${target.role}${target.offsite ? ', offsite' : ''}`],
    ['is', targetIdentity(target)],
  ];
  if (disk !== undefined)
    facts.push(
      [
        'disk',
        printableLine(
          `${disk.device}, ${formatBytes(disk.sizeBytes)}, ${disk.model || 'model not told'}, ${disk.bus || 'bus not told'}`,
        ),
      ],
      ['serial', disk.serial === '' ? style.paint('warn', 'not told: a copy is only known by its mark') : disk.serial],
      [
        'on it',
        printableLine(
          `${disk.fileSystem}${disk.label === '' ? '' : ` named ${disk.label}`}; its files stay as they are`,
        ),
      ],
    );
  facts.push([
    'class',
    `${target.class}${classProposed ? ' (proposed)' : ''}${iops === undefined ? ', not measured' : `, ${iops} random reads per second`}`,
  ]);
  const steps = [
    ...(disk === undefined
      ? []
      : [
          `mount it at ${mountPathOf(target.name, mountRoot)}, whenever it is plugged`,
          known === undefined ? `write ${markFile} at its root` : `look for its mark in ${markFile}`,
        ]),
    ...(leavesHost(target) ? [leaving(target)] : []),
    known === undefined ? 'declare it in /etc/felhom/storage.json' : 'declare it as attached again',
    {
      create: `make the storage ${target.storage} in Proxmox, and put it into the agent's pool`,
      update: style.paint('warn', `change the storage ${target.storage} that Proxmox has already`),
      same: `use the storage ${target.storage} that Proxmox has already`,
      other: '',
    }[entry.is],
  ];
  return `${renderFacts(facts, style)}\nThis will\n${steps.map((step) => `  - ${step}\n`).join('')}`;
}

/** What is there, and what becomes of it. */
export function renderWipe({ target, on, declared }: WipePlan, style: Style): string {
  const facts: [string, string][] = [
    ['target', `${target.name}, ${target.type}, ${declared.state}`],
    ['is', targetIdentity(target)],
    ...(on === undefined
      ? [['disk', style.paint('warn', 'not here, or not told from others any more')] as [string, string]]
      : factsOf(on, style)),
  ];
  const steps = [
    on === undefined
      ? style.paint(
          'warn',
          'overwrite nothing: an earlier order overwrote all but the first 128 KiB; whether these were too nobody can say',
        )
      : style.paint(
          'bad',
          `overwrite the first and the last MiBs of ${on.disk.device} and its signatures: all that is on it is lost`,
        ),
    `remove the storage ${target.storage} from Proxmox, and the rights on it`,
    `take ${target.name} out of /etc/felhom/storage.json, and keep its name in mind`,
  ];
  return `${renderFacts(facts, style)}\nThis will\n${steps.map((step) => `  - ${step}\n`).join('')}\nIt is no secure erase: what lies between can still be read by whoever has the disk.\n`;
}

function factsOf({ disk, whole }: NonNullable<WipePlan['on']>, style: Style): [string, string][] {
  const part = whole === disk.device ? '' : `, a part of ${whole}`;
  const is = `${disk.device}${part}, ${formatBytes(disk.sizeBytes)}, ${disk.model || 'model not told'}, ${disk.bus || 'bus not told'}`;
  return [
    ['disk', printableLine(is)],
    ['serial', disk.serial === '' ? style.paint('warn', 'not told') : disk.serial],
  ];
}

export function renderRePoint({ declared, to, replaces }: RePointPlan, style: Style): string {
  const facts: [string, string][] = [
    ['target', `${to.name}, ${to.type}, ${to.role}`],
    ['was', targetIdentity(declared.movingFrom ?? declared.target)],
    ['is to be', targetIdentity(to)],
  ];
  const steps = [
    leaving(to),
    replaces === undefined
      ? `change the storage ${to.storage} of Proxmox`
      : `make the storage ${to.storage} of Proxmox anew, with the rights that are on it`,
  ];
  return `${renderFacts(facts, style)}\nThis will\n${steps.map((step) => `  - ${step}\n`).join('')}`;
}

const leaving = (target: StorageTarget): string =>
  `let data of the guests leave this host, for ${'server' in target ? target.server : 'elsewhere'}`;
