/**
 * The error catalogue: every code that a `Reason` may carry, with what a person should do about it. Adapters sort what
 * the world answers into these codes exactly once; nothing further in parses a text again.
 *
 * To add a code, add one row. `retry` says what repeating is good for:
 *   never     the same request can only fail again
 *   later     it may well work by itself after a while
 *   operator  it works again once a person changed something
 */
import type { Reason } from './reason.ts';

export interface CatalogueEntry {
  /** What is the matter, in a few words, for lists. */
  readonly title: string;
  readonly retry: Reason['retry'];
  /** What to do next; one sentence for whoever runs this host. */
  readonly advice: string;
}

const row = <Retry extends Reason['retry']>(title: string, retry: Retry, advice: string) => ({ title, retry, advice });

/** Rows are sorted by family, then by how they come about; one code, one line. */
// prettier-ignore
export const errorCatalogue = {
  // ------------------------------------------------------------------------------ Proxmox: reaching it
  'pve.unreachable': row('Proxmox cannot be reached', 'later', 'Check that pveproxy runs (systemctl status pveproxy) and that the address is right.'),
  'pve.connection-lost': row('The connection to Proxmox broke', 'later', 'Nothing to do at once; what became of the request is read from the node.'),
  'pve.timeout': row('Proxmox did not answer in time', 'later', 'Look for a storage that hangs: one dead NFS server blocks the whole API.'),
  'pve.node-unreachable': row('pveproxy cannot reach the node', 'later', 'Check that pvedaemon runs and that the node name is right (case matters).'),
  'pve.proxy-failed': row('A proxy in front of Proxmox failed', 'later', 'Check pveproxy and whatever stands between the agent and port 8006.'),
  'pve.no-quorum': row('The cluster has no quorum', 'later', 'Bring the other cluster nodes back; until then Proxmox refuses every change.'),
  'pve.patience-over': row('Proxmox stayed away for too long', 'later', 'The task may still run; it is looked up as soon as Proxmox answers again.'),
  'pve.aborted': row('The agent stopped waiting', 'later', 'Nothing; the task in Proxmox was not touched and is found again.'),
  'pve.certificate-untrusted': row('The certificate of Proxmox is not trusted', 'operator', 'Give the agent the CA of this node (/etc/pve/pve-root-ca.pem) or pin its public key again.'),
  'pve.certificate-expired': row('The certificate of Proxmox has expired', 'operator', 'Renew it with pvecm updatecerts --force and reload pveproxy.'),
  'pve.certificate-not-yet-valid': row('The certificate of Proxmox is not valid yet', 'operator', 'Check the clocks of the node and of this machine.'),
  'pve.pin-mismatch': row('Proxmox has another public key than the pinned one', 'operator', 'If the key was renewed on purpose, pin the new one; otherwise somebody stands between.'),
  'pve.not-proxmox': row('Something else than Proxmox answers', 'operator', 'Check the address and whatever proxy stands before it.'),
  'pve.unreadable-answer': row('Proxmox answered in a shape that is not known', 'later', 'Compare the version of the node with the versions this agent supports.'),
  'pve.answer-too-large': row('The answer of Proxmox is too large', 'operator', 'Look for a runaway list on the node, for example thousands of volumes.'),

  // --------------------------------------------------------------------------- Proxmox: who may do what
  'pve.unauthorized': row('Proxmox does not accept the token', 'operator', 'Check the token file; make a new token with pveum user token add and put it there.'),
  'pve.circuit-open': row('Calls are held back: the token was refused', 'operator', 'Mend the token; the agent tries again by itself at growing intervals.'),
  'pve.forbidden': row('The token lacks a privilege', 'operator', 'Run felhom-agent doctor: it names the privilege, the path and the command that grants it.'),
  'pve.root-only': row('Proxmox reserves this for root@pam', 'never', 'No token can do this; it needs root on the host.'),
  'pve.pool-absent': row('The pool does not exist', 'operator', 'Create the pool and grant the agent its role on it.'),

  // ------------------------------------------------------------------------------ Proxmox: the request
  'pve.invalid-parameter': row('Proxmox does not accept a value', 'never', 'Correct the value; nothing was changed.'),
  'pve.unknown-parameter': row('This Proxmox version does not know a parameter', 'operator', 'Upgrade Proxmox VE; felhom-agent doctor says from which version on it works.'),
  'pve.protocol': row('Proxmox does not understand the request', 'never', 'This is a fault of the agent or of a proxy in between; report it with the log.'),
  'pve.not-implemented': row('Proxmox does not have this call', 'operator', 'Compare the version of the node with the versions this agent supports.'),

  // -------------------------------------------------------------------------------- Proxmox: the world
  'pve.guest-absent': row('The guest does not exist', 'never', 'Nothing; whoever asked reads the list of guests again.'),
  'pve.storage-absent': row('The storage does not exist', 'operator', 'Define the storage in Proxmox or correct its name in the policy.'),
  'pve.volume-absent': row('The volume or archive does not exist', 'operator', 'Put the archive back or name another one.'),
  'pve.snapshot-absent': row('The snapshot does not exist', 'never', 'Nothing; whoever asked reads the list of snapshots again.'),
  'pve.task-absent': row('Proxmox does not know the task', 'never', 'Nothing; what the task did is read from the node.'),
  'pve.node-absent': row('The node does not exist', 'operator', 'Correct the node name in the policy.'),
  'pve.bridge-absent': row('The bridge does not exist', 'operator', 'Create the bridge or correct its name; the change may have been written all the same.'),
  'pve.absent': row('A file or object does not exist', 'operator', 'The text of Proxmox names it.'),
  'pve.vmid-taken': row('The VMID is taken', 'never', 'Nothing; the next free VMID of the range is tried.'),
  'pve.already-exists': row('It exists already', 'never', 'Nothing, if it is what was asked for.'),
  'pve.already-running': row('The guest runs already', 'never', 'Nothing.'),
  'pve.not-running': row('The guest does not run', 'never', 'Nothing.'),
  'pve.guest-running': row('The guest runs, and this needs it stopped', 'never', 'Stop the guest first.'),
  'pve.guest-locked': row('The guest is locked', 'later', 'Wait for what holds the lock; if nothing runs any more, the root helper clears it.'),
  'pve.config-busy': row('Another operation holds the config of the guest', 'later', 'Nothing; it is tried again.'),
  'pve.busy': row('Proxmox waited in vain for a lock', 'later', 'Look for a task on the same storage that does not end.'),
  'pve.digest-mismatch': row('The config was changed by somebody else meanwhile', 'later', 'Nothing; the config is read again and the change decided anew.'),
  'pve.protected': row('The guest or volume is protected', 'operator', 'Somebody set the protection on purpose; take it off in Proxmox if this is really meant.'),
  'pve.size-already': row('The disk has that size already', 'never', 'Nothing.'),
  'pve.cannot-shrink': row('A disk cannot be made smaller', 'never', 'Ask for at least the present size.'),
  'pve.storage-offline': row('The storage is not available', 'later', 'Check the mount, the server or the disk behind the storage.'),
  'pve.no-space': row('The storage is full', 'operator', 'Free space or give the storage more of it.'),
  'pve.not-empty': row('It is not empty', 'operator', 'Remove what is in it first.'),
  'pve.hotplug-failed': row('The running guest did not take the change', 'operator', 'The change may be half done: stop the guest, look at its network and pending changes, start it again.'),
  'pve.apply-failed': row('Proxmox could not apply a change', 'operator', 'What was stored is read back; the text of Proxmox names the cause.'),
  'pve.worker-failed': row('Proxmox could not start the task', 'later', 'Check memory and process limits of the node.'),
  'pve.command-failed': row('A program that Proxmox called failed', 'operator', 'The text of Proxmox names the program.'),
  'pve.unclassified': row('Proxmox answered with an error that is not known', 'later', 'What became of the request is read from the node; report the text.'),
  'pve.wrong-warrant': row('The warrant names something else', 'never', 'This is a fault of the agent; report it with the log.'),

  // ------------------------------------------------------------------------------ Proxmox: self-check
  'pve.permissions-missing': row('The token lacks privileges', 'operator', 'Run the commands that felhom-agent doctor prints, as root on the node.'),
  'pve.permissions-dangerous': row('The token has more power than it may have', 'operator', 'Run the commands that felhom-agent doctor prints, as root on the node.'),
  'pve.version-unsupported': row('This version of Proxmox VE is not supported', 'operator', 'Upgrade Proxmox VE to a supported version.'),

  // --------------------------------------------------------------------------------------- the host itself
  'host.not-told': row('The host does not tell a fact about itself', 'later', 'Look at what the text names; guests are looked after without it.'),
  'tunnel.not-told': row('The tunnel does not answer', 'later', 'Look at systemctl status felhom-cloudflared and at the port of its metrics.'),

  // --------------------------------------------------------------------------------------- root helper
  'helper.absent': row('There is no root helper', 'operator', 'Start felhom-root.socket and name it in the configuration: helper.socket; or helper.command where there is no systemd.'),
  'helper.cannot-run': row('The root helper cannot be run', 'operator', 'Look at felhom-root.socket, its mode and its group; or at the command in the configuration, its rights and the sudo rule.'),
  'helper.timeout': row('The root helper did not answer in time', 'later', 'Its receipt tells what it did; look for a storage that hangs.'),
  'helper.died': row('The root helper ended without an answer', 'later', 'Its receipt tells what it did; look at its log on the host.'),
  'helper.unreadable-answer': row('The root helper answered in a shape that is not known', 'operator', 'Install the helper that belongs to this version of the agent.'),
  'helper.no-archive': row('Root finds no such archive', 'operator', 'Nobody but the agent should remove its archives; look at who prunes that storage.'),
  'helper.refused': row('The root helper refused', 'operator', 'Its text names the fact that spoke against it; look at the guest before anything else.'),
  'helper.busy': row('The root helper is at work', 'later', 'Nothing; it is tried again.'),

  // ---------------------------------------------------------------------------------------------- hub
  'hub.unreachable': row('The hub cannot be reached', 'later', 'Nothing at once; guests go on as they are. Check the address and the network.'),
  'hub.timeout': row('The hub did not answer in time', 'later', 'Nothing; the agent asks again.'),
  'hub.certificate-untrusted': row('The certificate of the hub is not trusted', 'operator', 'Check the trust entry of the hub in the configuration.'),
  'hub.certificate-expired': row('The certificate of the hub has expired', 'operator', 'Renew the certificate of the hub.'),
  'hub.certificate-not-yet-valid': row('The certificate of the hub is not valid yet', 'operator', 'Check the clocks of the hub and of this host.'),
  'hub.pin-mismatch': row('The hub has another public key than the pinned one', 'operator', 'If the hub has a new key, pin it; otherwise somebody stands between.'),
  'hub.unauthorized': row('The hub does not accept the API key', 'operator', 'Make a new key with felhom hosts rekey and put it into the key file.'),
  'hub.forbidden': row('The API key belongs to another host', 'operator', 'Put the key of this host into the key file.'),
  'hub.throttled': row('The hub asks to slow down', 'later', 'Nothing.'),
  'hub.unavailable': row('The hub failed', 'later', 'Look at the log of the hub.'),
  'hub.refused': row('The hub refused the request', 'operator', 'The text of the hub says why; agent and hub may be of different versions.'),
  'hub.not-a-hub': row('Something else than the hub answers', 'operator', 'Check the address and whatever proxy stands before it.'),
  'hub.unreadable-answer': row('The hub answered in a shape that is not known', 'operator', 'Bring agent and hub to versions that go together; the last good state is kept.'),
  'hub.answer-too-large': row('The answer of the hub is too large', 'operator', 'Look at the desired state of this host; the last good one is kept.'),

  // ------------------------------------------------------------------------------------ desired state
  'desired.withheld': row('The hub withholds the desired state', 'operator', 'The hub is behind this host; choose a side with felhom desired resolve.'),
  'desired.unreadable': row('The desired state cannot be read', 'operator', 'Correct the place that the text names and apply it again; the last good one is kept.'),
  'desired.unknown-version': row('The desired state is of an unknown version', 'operator', 'Bring agent and hub to versions that go together; the last good one is kept.'),
  'desired.digest-mismatch': row('The desired state arrived damaged', 'later', 'Nothing at once; it is fetched again. The last good one is kept.'),
  'desired.too-large': row('The desired state is too large', 'operator', 'Make the document smaller; the last good one is kept.'),
  'desired.older-generation': row('An older desired state was offered', 'operator', 'Choose a side with felhom desired resolve; the newer one is kept.'),
  'desired.same-generation-differs': row('Two documents have the same generation', 'operator', 'Apply the desired state again, which makes a new generation.'),
  'desired.other-lineage': row('A desired state of another lineage was offered', 'operator', 'Choose a side with felhom desired resolve; the last good one is kept.'),
  'desired.file-unreadable': row('The desired state file cannot be read', 'operator', 'Put the file back and let the agent read it; the last good one is kept.'),
  'desired.store-unreadable': row('The held desired state cannot be read back', 'later', 'Nothing at once; the hub sends it again. Guests stay as they are.'),

  // ---------------------------------------------------------------------------------------- local API
  'local.unauthorized': row('The token is not of the guest that shows it', 'never', 'Redeem a new claim; the operator makes one with felhom.'),
  'local.port-unclear': row('It is not clear which guest asks', 'later', 'Two network ports show the same MAC; look for a copy of the guest that runs, or one that pretends.'),
  'local.no-route': row('There is no such route', 'never', 'Read /v1/openapi.json: it names every route.'),
  'local.wrong-method': row('The route does not have this method', 'never', 'Read /v1/openapi.json: it names every method.'),
  'local.unknown-version': row('The agent does not speak this version of the local API', 'operator', 'Bring controller and agent to versions that go together.'),
  'local.unreadable': row('The request cannot be read', 'never', 'Correct the place that the text names.'),
  'local.too-large': row('The request is too large', 'never', 'Send less at once.'),
  'local.too-many-requests': row('The guest asks too often', 'later', 'Wait as long as the answer says.'),
  'local.too-many-at-once': row('The guest asks for too much at once', 'later', 'Wait for an answer before the next question.'),
  'local.key-reused': row('The idempotency key belongs to another request', 'never', 'Take a new key for every new request.'),
  'local.timeout': row('The agent did not answer in time', 'later', 'Ask again with the same idempotency key.'),
  'local.failed': row('The agent made a mistake', 'later', 'Ask again with the same idempotency key; report it with the log of the agent.'),

  // ------------------------------------------------------------------------------------ configuration
  'config.unreadable': row('A configuration file cannot be read', 'operator', 'Check that the file exists and that the agent may read it.'),
  'config.invalid': row('A configuration file is not valid', 'operator', 'Correct the place that the text names.'),
  'config.secret-exposed': row('A secret file can be read by others', 'operator', 'chmod 600 the file, then make a new secret: the old one may be known.'),

  // ----------------------------------------------------------------------------------- storage targets
  'storage.target-away': row('The storage target is not attached', 'later', 'Plug the disk in, or see to the server; what waits goes on by itself. felhom-agent status says since when.'),
  'storage.manifest-unreadable': row('The storage manifest cannot be used', 'operator', 'Mend the file as root; until it reads no target is mounted, and the last one read goes on.'),

  // ------------------------------------------------------------------------------------------ journal
  'journal.damaged': row('The journal is damaged', 'operator', 'The file was left as it is; restore it or follow the how-to on a lost journal.'),
  'journal.newer': row('The journal was written by a newer version', 'operator', 'Run the newer version of the agent again.'),
  'journal.locked': row('Another agent uses this state directory', 'operator', 'Stop the other agent; two at once would work against each other.'),
  'journal.full': row('The journal cannot be written', 'operator', 'Free space on the disk of the state directory.'),

  // --------------------------------------------------------------------------------------------- gate
  'gate.needs-signature': row('This needs a signed approval', 'operator', 'Approve the blocked action, or take the change back.'),
  'gate.out-of-range': row('The host policy does not allow this value', 'operator', 'Change the desired state, or the policy file as root on the host.'),
  'gate.on-hold': row('Changes are on hold', 'operator', 'Lift the hold when it is no longer needed; the text says where it is set.'),
  'gate.blast-radius': row('Too many guests would change within a day', 'later', 'It goes on by itself tomorrow; raise limits.blastRadius if this is meant.'),
  'gate.foreign': row('The guest is not ours', 'operator', 'Nothing is done to it; remove the conflict by hand.'),
  'gate.policy-unreadable': row('The host policy does not read', 'operator', 'Mend the policy file; until then nothing on this host is changed.'),
  'gate.no-authority': row('What it rests on does not cover it', 'never', 'This is a fault of the agent; report it with the log.'),
  'gate.never': row('This is not for the agent to change', 'never', 'Take it out of the desired state.'),
  'gate.contradictory': row('The change contradicts what is known', 'later', 'Nothing at once; it is planned again from what is there.'),
  'gate.name-in-use': row('The name belongs to a guest that exists', 'later', 'Choose another name; a guest is never replaced by a new one.'),
  'gate.unknown-guest': row('The guest on record is another one', 'later', 'Nothing at once; it is planned again from what is there.'),
  'gate.not-seen': row('The guest was not seen', 'later', 'Run felhom-agent doctor: a missing right looks like a missing guest.'),
  'gate.unproven': row('The guest is likely ours, not provably', 'operator', 'Undo what was changed by hand, as the text says; it stays backed up and watched.'),
  'gate.person-stopped': row('Somebody stopped the guest a moment ago', 'later', 'Nothing; it is started ten minutes after the stop, unless desired state says stopped.'),
  'gate.room-unknown': row('The room that is left is not known', 'later', 'Run felhom-agent doctor: the storage cannot be read.'),
  'gate.holds-data': row('It may hold data', 'operator', 'Look at the volumes that the text names; nothing was freed.'),
  'gate.lane-parked': row('A parked saga keeps the guest closed for changes', 'operator', 'Run the command that the text names; backups go on meanwhile.'),
  'gate.facts-unknown': row('What this host has given out is not known', 'later', 'Run felhom-agent doctor: one of its guests cannot be read.'),
  'agent.pass-failed': row('A pass over the guests broke off', 'later', 'It is tried again at every interval; if it stays, send the log of the agent along with a report.'),
  'agent.report-failed': row('The agent cannot make its report', 'later', 'This is a fault of the agent: send its log along with a report. Guests are looked after meanwhile.'),
  'agent.stopping': row('The agent is stopping', 'later', 'Nothing; it goes on at the next start.'),
  'gate.node-check': row('The node does not allow the agent to work', 'operator', 'Run felhom-agent doctor; it names each privilege and the command that mends it.'),
  'gate.not-built': row('This version cannot do that yet', 'never', 'Take the field out of the desired state.'),

  // -------------------------------------------------------------------------------------- signed jobs
  'job.unreadable': row('An envelope cannot be read', 'never', 'Make the job again with felhom; whoever put this one there did not.'),
  'job.not-signed': row('Nobody whom this host trusts signed it', 'never', 'Sign with a key that the trust document lists; felhom hosts trust HOST shows them.'),
  'job.other-host': row('The job is for another host', 'never', 'Make the job again for this host.'),
  'job.other-epoch': row('The job belongs to an earlier life of this host', 'never', 'Look at the host again and sign what it shows now.'),
  'job.not-fresh': row('The job is too old', 'never', 'Look at the host again and sign what it shows now.'),
  'job.not-yet': row('The job is not valid yet', 'later', 'Nothing; it is looked at again when its time has come.'),
  'job.expired': row('The job has expired', 'never', 'Look at the host again and sign what it shows now.'),
  'job.same-id': row('Another job had this id already', 'never', 'Make the job again; ids are never used twice.'),
  'job.more-people': row('More people have to sign', 'later', 'Have a colleague add a signature: felhom job cosign.'),
  'job.changed': row('What was signed is not what would happen now', 'never', 'Look at the host again: what would be lost is different by now.'),
  'job.not-asked': row('Nothing on this host asks for what was approved', 'never', 'Look at felhom status; the action was settled or withdrawn.'),
  'job.clock': row('The clock of the host is not to be relied on', 'later', 'Set the clock right; if it jumped for good, run felhom-agent trust reset-clock as root.'),
  'job.busy': row('Something else is being done there', 'later', 'Nothing; it is tried again by itself.'),
  'job.damper': row('One guest a day may be removed', 'later', 'Nothing; it goes on by itself tomorrow.'),
  'job.cancelled': row('A signer cancelled it', 'never', 'Nothing; make a new job if it is wanted after all.'),
  'job.not-built': row('This version cannot carry out jobs of this kind yet', 'never', 'Wait for the release that brings it; nothing was done.'),
  'job.too-many': row('Too many envelopes came at once', 'later', 'Nothing, if you sent them; otherwise the hub is being misused.'),
  'job.unknown-target': row('The job names something that is not on record', 'never', 'Look at the host again and name what it shows.'),
  'trust.none': row('This host trusts nobody yet', 'operator', 'Put the first trust document there as root: felhom-agent trust init.'),
  'trust.unreadable': row('The trust document cannot be used', 'operator', 'Mend it as root; until then nothing that needs a signature happens.'),
  'trust.exposed': row('The trust document may be written by others', 'operator', 'chown root, chmod 644 the file; then check what it says.'),
  'trust.expired': row('The trust document has expired', 'operator', 'Renew it with a signed trust change, or as root on the host.'),
  'trust.expires-soon': row('The trust document expires soon', 'operator', 'Renew it: felhom job trust-renew HOST.'),
  'trust.not-the-next': row('The trust document does not follow the one in force', 'never', 'Start again from the document that is in force.'),
  'trust.verifier-missing': row('The program ssh-keygen cannot be run', 'operator', 'Install openssh-client; without it no signature can be verified.'),
  'trust.verifier-failed': row('The program ssh-keygen gave no verdict', 'later', 'Nothing at once; it is asked again. The text says what was in the way.'),
  'release.not-for-this': row('The release is for something else', 'never', 'Name a release of the right product and role.'),
  'release.expired': row('The release manifest has expired', 'operator', 'Publish a newer manifest.'),
  'release.not-yet': row('The release has not reached this host yet', 'later', 'Nothing; its turn comes by itself. Faster than that is a signed job for this host.'),
  'release.older': row('The release is not newer than what runs', 'never', 'Going back is a signed job of its own: downgrade.'),
  'release.too-far': row('The release cannot be reached from the version that runs', 'operator', 'Install the version that the text names first.'),
  'audit.damaged': row('The audit log is broken', 'operator', 'Compare it with the copy of the hub: felhom audit verify.'),
  'journal.rolled-back': row('The journal is older than what this host has said', 'operator', 'Nothing at once: earlier signatures are void; find out who restored the state directory.'),
  'break-glass.no-consent': row('Not every customer of this host consents', 'operator', 'Ask the customers whose guests the text names.'),
  'break-glass.unclear': row('What became of break-glass cannot be told', 'later', 'Look on the host: systemctl status "felhom-break-glass-*"; its timer closes it at the latest.'),

  // ----------------------------------------------------------------------- controllers and their claims
  'claim.worthless': row('The claim is worth nothing', 'never', 'Nothing, if the guest was restored or is slow to start: it gets a new one by itself.'),
  'claim.no-window': row('No claim of the guest is open', 'later', 'Nothing; a new claim is given to the guest by itself.'),
  'claim.not-alone': row('Another guest was started at the same time', 'later', 'Nothing at once; a new claim is given to the guest, at best while no other one starts.'),
  'controller.none': row('The guest has no controller to speak of', 'never', 'Name a controller for the guest in the desired state; its image comes from a signed release.'),
  'controller.unhealthy': row('The controller does not become healthy', 'later', 'The image from before runs again; look at the controller of the guest before the next release.'),
  'controller.restarted-often': row('The guest was restarted too often', 'later', 'Nothing at once; it may be restarted again within the hour.'),
  'quiesce.in-use': row('The guest holds its apps still for something else', 'later', 'Nothing; the lease that stands ends by itself within minutes.'),
  'operation.unknown': row('There is no such operation', 'never', 'Ask with the id that the request answered with.'),
  'operation.not-due': row('Nothing of that kind is due', 'never', 'Ask what is due and name that.'),
  'operation.due-first': row('Something that is due comes first', 'later', 'Do what is due; it holds the same data.'),
  'operation.not-its-own': row('The request names something that the guest does not have', 'never', 'Ask the host what the guest has: storage, tiers, what is due.'),
  'consent.not-confirmed': row('The consent was not confirmed', 'never', 'Let the customer type the words; GET /consent of the controller\'s page shows them.'),

  // ------------------------------------------------------------------------------------------ backups
  'backup.tier-unknown': row('The tier of the backup is not declared on this host', 'operator', 'Name a tier of the desired state, or declare its target in the policy file.'),
  'backup.lease-ended': row('The apps are no longer held still', 'later', 'Nothing; a backup is taken without it, or the controller asks again.'),
  'backup.not-captured': row('The storage did not hold the state in time', 'later', 'Nothing at once; look for another backup job on the node, or for volumes that cannot be snapshot.'),
  'backup.failed': row('The backup failed', 'later', 'Read the tail of its task; it is tried again at its next turn.'),
  'backup.not-listed': row('The backup is not among the archives of its storage', 'operator', 'Look whether it is the right disk, and whether the token may see the archives of this guest.'),
  'backup.damaged': row('The archive is not what was written', 'operator', 'Check the disk or server that holds it; the archive is not counted and not removed.'),
  'backup.target-dropped': row('The target went away during the backup', 'later', 'Nothing was counted; another one is taken when the target is back. Look at cable and power of the disk.'),
  'backup.wrong-device': row('The archive lies on another device than it must', 'operator', 'Mount the right disk under the storage; the archive on the wrong one is not counted.'),
  'backup.missing': row('A backup on record is gone', 'operator', 'Find out who removed it; the next one is taken at its turn.'),
  'backup.wrong-key': row('The key of the storage does not open the backup', 'operator', 'Put the key back that the text names, or nothing of it can be restored.'),
  'backup.lock-left': row('A dead backup left the guest locked', 'operator', 'Make sure that no backup runs, then as root: pct unlock with the VMID of the text.'),
  'backup.fell-back': row('The backup was not taken from a snapshot', 'operator', 'Move the volumes that are backed up to storages that can make snapshots.'),
  'backup.foreign': row('Somebody else keeps backups of a guest of ours', 'operator', 'Nothing, if it is meant; the agent neither counts nor removes them.'),
  'backup.unrecorded': row('An archive of ours was never proven', 'operator', 'Remove it by hand if the space is needed; it is never restored by itself.'),
  'backup.not-on-record': row('There is no such backup on record', 'never', 'Nothing; whoever asked reads the list of backups again.'),
  'backup.kept': row('The backup has to be kept', 'later', 'Nothing; retention looks again at its next turn.'),

  // -------------------------------------------------------------------------------------- checkpoints
  'checkpoint.not-possible': row('No checkpoint of the guest can be taken', 'operator', 'Move its volumes to storages that can make snapshots, or give it a tier of class fast.'),
  'checkpoint.quota': row('The guest holds as many checkpoints as it may', 'later', 'Nothing; the oldest ends by itself, and none is dropped to make room.'),
  'checkpoint.failed': row('The snapshot was not taken or not dropped', 'later', 'Read the tail of its task; ask again if the guest still needs it.'),
  'checkpoint.left': row('A dead snapshot task left the guest locked', 'operator', 'Make sure that no task runs on the guest, then as root: pct unlock and pct delsnapshot with the VMID and name of the text.'),
  'checkpoint.not-on-record': row('The guest has no such checkpoint to go back to', 'never', 'Ask with the name that the operation of the checkpoint answered with.'),
  'checkpoint.needs-restore': row('The checkpoint is a backup', 'never', 'Let the restore of that backup be signed.'),
  'checkpoint.not-newest': row('Snapshots that are newer stand in the way', 'operator', 'ZFS goes back to the newest snapshot only: roll back to that one, or drop it first.'),
  'checkpoint.rollback-failed': row('The rollback did not come to its end', 'later', 'Nothing at once; it is found out how far it is, and repeated.'),

  // -------------------------------------------------------------------------------------------- guest
  'guest.no-space': row('There is not enough space for the guest', 'operator', 'Free space, choose another storage, or ask for less.'),
  'guest.no-free-vmid': row('No VMID of the range is free', 'operator', 'Widen the range in the policy or remove guests that are not needed.'),
  'guest.golden-absent': row('The golden image is not there', 'operator', 'Put the image back in its place on the storage.'),
  'guest.golden-changed': row('The golden image is not the admitted one', 'operator', 'Admit the new image as root, or put the old one back.'),
  'guest.backup-absent': row('The backup is not there', 'operator', 'Bring its storage back, or choose another backup of the guest.'),
  'guest.backup-changed': row('The backup is not the one that was taken', 'operator', 'Its bytes are not those of the day: do not use it, find out who changed it, and choose another.'),
  'guest.not-lost': row('The guest is not lost', 'later', 'Nothing is restored; what is there of it decides what comes next.'),
  'guest.archive-refused': row('The archive holds a config that is not allowed', 'never', 'The guest was removed again; do not use this archive.'),
  'guest.archive-corrupt': row('The archive is damaged', 'operator', 'Replace the archive.'),
  'guest.did-not-start': row('The guest did not come up', 'operator', 'Read its start log; felhom-agent status shows the tail.'),
  'guest.golden-unregistered': row('The golden image is not registered on this host', 'operator', 'Admit the image as root in the policy file, or name another one.'),
  'guest.rootfs-too-small': row('The root file system is too small for the golden image', 'operator', 'Ask for at least the size that the text names.'),
  'guest.vmid-taken': row('Somebody else took the VMID in between', 'later', 'Nothing; the next pass takes another one.'),
  'guest.restore-failed': row('The restore failed', 'later', 'Nothing at once; it is tried again. Read the tail of its log if it keeps failing.'),
  'guest.restore-died': row('The restore ended without finishing', 'later', 'Nothing at once; what it left is removed and it is tried again.'),
  'guest.not-ours': row('What has the VMID is not the guest on record', 'operator', 'Nothing is done to it; look at who made it.'),
  'guest.unknown-uid': row('The guest is not on record', 'later', 'Nothing; whoever asked reads the registry again.'),
  'guest.orphan-volume': row('A volume lies under the guest that nothing refers to', 'operator', 'Look at the volume; attach it or remove it by hand.'),
  'guest.unsettled': row('What became of a change cannot be told yet', 'later', 'Nothing at once; the node is asked again.'),
  'guest.change-failed': row('The config of the guest did not take a change', 'operator', 'Look at the config of the guest in Proxmox; the text names what was to change.'),
  'guest.resize-failed': row('The disk could not be grown', 'operator', 'Read the tail of the task; the storage may be full.'),
  'guest.did-not-stay-up': row('The guest went down again right after its start', 'operator', 'Read its start log; for a new guest the golden image is suspect.'),
  'guest.did-not-stop': row('The guest does not go down', 'later', 'Nothing at once; it is tried again. If it stays, look at what its processes wait for.'),
  'guest.mounts-dead': row('The guest still has the disk that was pulled', 'later', 'Nothing at once; it is restarted again by itself. If it stays, look at the disk and restart the guest.'),
  'guest.not-to-run': row('The guest is not to run', 'later', 'Nothing; a guest that desired state does not want to run is not started anew.'),
  'guest.still-referenced': row('Another guest uses a volume of it', 'operator', 'Take the volume that the text names out of the other guest first.'),
  'guest.half-removed': row('The guest is removed only in part', 'later', 'Bring the storage back that the text names; it goes on by itself.'),
  'guest.undo-incomplete': row('Something half-built could not be removed yet', 'later', 'Nothing at once; it is tried again.'),
  'guest.config-edited': row('Somebody edited the config of the guest', 'operator', 'Nothing, if it was meant; what desired state names is put back.'),
  'restore-test.wrong-key': row('The key does not open the backup', 'operator', 'Put the key back that it was encrypted with; until then nothing can be restored from it.'),
  'restore-test.not-booted': row('The restored guest did not boot', 'operator', 'Look at what the guest needs to boot; take another backup and have it tested.'),
  'restore-test.unwell': row('The restored guest boots and is not well', 'operator', 'The text names the units or checks; the same may happen at a real restore.'),
  'restore-test.damaged': row('The restored guest does not hold the data it should', 'operator', 'Do not rely on this backup: look at what is left out of it, and take another one.'),
  'restore-test.unproven': row('The restore-test could not look at everything', 'operator', 'The text says what was not shown; the backup may be good.'),
  'restore-test.no-room': row('There is no room for a restore-test', 'operator', 'Free space on the scratch storage, or name another one in the policy.'),
  'restore-test.not-now': row('A restore-test has to wait', 'later', 'Nothing; it comes when what the text names is over.'),
  'restore.cannot-carry': row('Bulk volumes cannot be carried over', 'operator', 'Do what the text says for the volume that it names, then ask again; nothing was changed.'),
  'restore.bulk-astray': row('A bulk volume is where no config names it', 'operator', 'Keep both guests as they are; look for the volume that the text names with pvesm list, attach it to its guest, then let the saga go on.'),
  'restore.refused': row('The restore cannot be done', 'operator', 'The text says what stands against it; nothing was changed.'),
  'restore.too-slow': row('The new guest was not up in time', 'operator', 'The guest as it was is back in service; look at why the new one took so long.'),
  'restore.no-window': row('There is no undo window for this', 'never', 'Look at the restores in felhom status; it was undone or finished, or never had an undo.'),
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof errorCatalogue;

/** Whether a string from outside (an old journal, another version) is a code of this catalogue. */
export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCatalogue, code);
}

/** The catalogue's entry, or `undefined` for a code of another version. */
export function explain(code: string): CatalogueEntry | undefined {
  return isErrorCode(code) ? errorCatalogue[code] : undefined;
}

/** A reason with the retry class that the catalogue gives its code. `text` is "cannot … : why", with the ids in it. */
export function reason(code: ErrorCode, text: string, detail?: string): Reason {
  const { retry } = errorCatalogue[code];
  return detail === undefined ? { code, text, retry } : { code, text, retry, detail };
}
