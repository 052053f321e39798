// SPDX-License-Identifier: Apache-2.0
// An ordinary session of Testcontainers, and of a container with a quota. Run where it is installed; DOCKER_HOST names
// the engine, which has the image gpu-demo.
const assert = require('node:assert');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { GenericContainer, Network, PullPolicy, Wait, getContainerRuntimeClient } = require('testcontainers');

// Nothing is listened for: the engine of a test has no bridge to its host.
const sleeper = () => new GenericContainer('gpu-demo').withNetworkMode('none')
    .withCommand(['sh', '-c', 'echo ready; sleep 300']).withWaitStrategy(Wait.forLogMessage('ready'));

async function session(folder) {
    const client = await getContainerRuntimeClient();
    assert.ok(client.info.containerRuntime.serverVersion);
    const network = await new Network().start();
    const file = path.join(folder, 'file');
    fs.writeFileSync(file, 'hello');
    const container = await sleeper()
        .withName('full').withLabels({ c: 'd' }).withEnvironment({ A: 'b' }).withUser('1000')
        .withWorkingDir('/tmp').withHostname('host')
        .withBindMounts([{ source: '/usr/share', target: '/share', mode: 'ro' }]).withTmpFs({ '/scratch': 'size=1m' })
        .withUlimits({ nofile: { soft: 100, hard: 200 } })
        .withAddedCapabilities('NET_ADMIN').withDroppedCapabilities('CHOWN')
        .withExtraHosts([{ host: 'a', ipAddress: '10.0.0.2' }])
        .withResourcesQuota({ memory: 0.0625, cpu: 0.5 }).withSharedMemorySize(8 << 20).withDefaultLogDriver()
        .withHealthCheck({ test: ['CMD', 'true'], interval: 1000, timeout: 3000, retries: 3, startPeriod: 0 })
        .withCopyFilesToContainer([{ source: file, target: '/tmp/file' }])
        .withCopyContentToContainer([{ content: 'words', target: '/tmp/words' }])
        // Not for a log message: after a restart, 20.10 does not always send this client the line, with the plugin or
        // without.
        .withWaitStrategy(Wait.forAll([Wait.forSuccessfulCommand('true'), Wait.forHealthCheck()]))
        .start();
    const { exitCode, output } = await container.exec(['sh', '-c', 'cat file words; echo $X'],
        { env: { X: 'y' }, user: 'root', workingDir: '/tmp' });
    assert.deepStrictEqual([exitCode, output], [0, 'hellowordsy\n']);
    await container.copyFilesToContainer([{ source: file, target: '/tmp/again' }]);
    for await (const part of await container.copyArchiveFromContainer('/tmp/again')) assert.ok(part);
    const logs = await container.logs();
    await new Promise(read => logs.once('data', read));
    logs.destroy();
    await container.commit({ repo: 'made', tag: '1', deleteOnExit: false });
    await container.restart({ timeout: 0 });
    await container.stop({ remove: true, removeVolumes: true, timeout: 0 });

    const reused = await sleeper().withReuse().start();
    assert.strictEqual((await sleeper().withReuse().start()).getId(), reused.getId());
    await reused.stop({ timeout: 0 });

    fs.writeFileSync(path.join(folder, 'Dockerfile'),
        'FROM gpu-demo\nARG W\nCOPY file /tmp/built\nCMD ["sh", "-c", "echo ready; sleep 300"]\n');
    const image = await GenericContainer.fromDockerfile(folder).withBuildArgs({ W: 'z' })
        .withPullPolicy(PullPolicy.defaultPolicy()).build('built:1', { deleteOnExit: false });
    const built = await image.withNetworkMode('none').withWaitStrategy(Wait.forLogMessage('ready')).start();
    assert.strictEqual((await built.exec(['cat', '/tmp/built'])).output, 'hello');
    await built.stop({ timeout: 0 });
    await network.stop();
    for (const name of ['made:1', 'built:1']) await client.container.dockerode.getImage(name).remove();
}

// Testcontainers has no way to ask for a GPU, so the preload is what shows the quota.
async function quota() {
    const limited = await sleeper().withLabels({ 'gpu-memory': '0.1' })
        .withBindMounts([{ source: 'runai', target: '/runai' }]).start();
    assert.strictEqual((await limited.exec(['cat', '/etc/ld.so.preload'])).output.trim(), '/runai/librunai.so');
    await limited.stop({ timeout: 0 });
    await assert.rejects(sleeper().withLabels({ 'gpu-memory': '0.1' }).start(),
        failure => failure.message.includes('add -v runai:/runai'));
}

async function main() {
    const awake = setInterval(() => {}, 1000); // waiting for a log does not keep Node running
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'testcontainers-'));
    try {
        await session(folder);
        await quota();
    } finally {
        fs.rmSync(folder, { recursive: true });
        clearInterval(awake);
    }

    console.log('nothing was refused');
}

main().catch(failure => {
    console.error(failure);
    process.exit(1);
});
