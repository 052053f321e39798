// SPDX-License-Identifier: Apache-2.0
// An ordinary session of dockerode, in which nothing needs a GPU. Run where it is installed; DOCKER_SOCKET is the
// engine's, which has the image gpu-demo.
const assert = require('node:assert');
const { PassThrough } = require('node:stream');
const Docker = require('dockerode');
const docker = new Docker({ socketPath: process.env.DOCKER_SOCKET });

async function text(stream) {
    const parts = [];
    for await (const part of stream) parts.push(part);
    return Buffer.concat(parts);
}

async function session() {
    await docker.ping();
    await docker.version();
    await docker.info();
    await docker.df();
    await docker.listImages();
    await docker.getImage('gpu-demo').tag({ repo: 'other', tag: 'tag' });
    await docker.getImage('other:tag').remove();
    const volume = await docker.createVolume({ Name: 'data', Driver: 'local', Labels: { a: 'b' }, DriverOpts: {} });
    const network = await docker.createNetwork({ Name: 'inner', Internal: true, CheckDuplicate: true });

    const out = new PassThrough();
    const [ended, ran] = await docker.run('gpu-demo', ['echo', 'fine'], out,
        { Tty: true, HostConfig: { NetworkMode: 'none' } });
    assert.strictEqual(ended.StatusCode, 0);
    await ran.remove();

    const container = await docker.createContainer({
        name: 'full', Image: 'gpu-demo', Cmd: ['sleep', '300'], Hostname: 'host', User: '1000', WorkingDir: '/tmp',
        Env: ['A=b'], Labels: { c: 'd' },
        AttachStdin: false, AttachStdout: true, AttachStderr: true, OpenStdin: false, StdinOnce: false, Tty: false,
        ExposedPorts: { '80/tcp': {} }, Volumes: { '/anonymous': {} },
        StopSignal: 'KILL', Healthcheck: { Test: ['CMD', 'true'], Interval: 30e9 },
        HostConfig: {
            NetworkMode: 'none', Binds: ['data:/data', '/usr/share:/share:ro'],
            Mounts: [{ Target: '/mounted', Source: 'data', Type: 'volume', ReadOnly: true }], Memory: 64 << 20,
            CpuShares: 100, PidsLimit: 50,
            Tmpfs: { '/scratch': 'size=1m' }, CapAdd: ['NET_ADMIN'], CapDrop: ['CHOWN'],
            SecurityOpt: ['no-new-privileges'],
            Devices: [{ PathOnHost: '/dev/null', PathInContainer: '/dev/nothing', CgroupPermissions: 'rwm' }],
            Ulimits: [{ Name: 'nofile', Soft: 100, Hard: 200 }],
            RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 },
            LogConfig: { Type: 'json-file', Config: { 'max-size': '1m' } },
            PortBindings: { '80/tcp': [{ HostPort: '0' }] }, PublishAllPorts: false, Privileged: false,
            ReadonlyRootfs: false, AutoRemove: false, VolumesFrom: null, DeviceRequests: null, Runtime: 'runc',
        },
        NetworkingConfig: { EndpointsConfig: {} },
    });
    await container.start();
    assert.ok((await container.inspect()).State.Running);
    const exec = await container.exec({ Cmd: ['true'], AttachStdout: true, AttachStderr: true, Env: ['X=y'],
        User: '0' });
    await text(await exec.start({ hijack: true, stdin: false }));
    assert.strictEqual((await exec.inspect()).ExitCode, 0);
    await container.top();
    await container.logs({ stdout: true, stderr: true });
    await container.stats({ stream: false });
    await container.changes();
    await container.update({ Memory: 80 << 20, MemorySwap: 160 << 20 });
    await container.rename({ name: 'fuller' });
    await container.pause();
    await container.unpause();
    await container.restart({ t: 0 });
    const tar = await text(await container.getArchive({ path: '/etc/passwd' }));
    await container.putArchive(tar, { path: '/tmp' });
    await container.commit({ repo: 'made', tag: '1' });
    await container.kill();
    await container.wait();
    await container.start();
    await container.stop({ t: 0 });
    await container.remove({ v: true });

    await docker.getImage('made:1').remove();
    await network.remove();
    await volume.remove();
    await docker.pruneContainers();
    await docker.pruneVolumes();
    await docker.pruneImages();
    await docker.pruneNetworks();
    console.log('nothing was refused');
}

session().catch(failure => {
    console.error(failure);
    process.exit(1);
});
