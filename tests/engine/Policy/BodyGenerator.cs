// SPDX-License-Identifier: Apache-2.0
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Runai.GpuMemory.EngineTests.Policy;

/// <summary>A create call as it goes over the wire.</summary>
sealed record CreateCall(byte[] Body, string Target, string[] Headers)
{
    public override string ToString() =>
        $"{Target} [{string.Join("; ", Headers)}] "
        + $"{Encoding.UTF8.GetString(Body.AsSpan(0, Math.Min(Body.Length, 2000)))}";
}

/// <summary>Makes create calls: legal ones, odd ones, and ones that hope to be read in two ways.</summary>
sealed class BodyGenerator(int seed)
{
    readonly Random _random = new(seed);

    /// <summary>Keys and values in the order in which they are written; a value is such a list again, or JSON as it
    /// stands.</summary>
    sealed class Members : List<(string Key, object Value)>;

    static readonly (string Key, string[] Values)[] HostMembers =
    [
        (
            "DeviceRequests",
            [
                """[{"Count":1,"Capabilities":[["gpu"]]}]""",
                """[{"Count":-1,"Capabilities":[["gpu"]]}]""",
                """[{"Driver":"nvidia","Count":-1,"Capabilities":[["compute","utility"]]}]""",
                """[{"Driver":"nvidia","DeviceIDs":["0"],"Capabilities":[["gpu"]]}]""",
                """[{"DeviceIDs":["all"],"Capabilities":[["gpu"]]}]""",
                """[null,{"Count":1,"Capabilities":[["gpu"]]}]""",
                """[{"Driver":"cdi","DeviceIDs":["nvidia.com/gpu=all"]}]""",
                """[{"Driver":"","Count":1,"Capabilities":[["display"],["x"]]}]""",
                "[]",
                "null",
                "[null]",
                "{}",
                """[{"count":1,"Capabilities":[["gpu"]]}]""",
                """[{"Count":"1","Capabilities":[["gpu"]]}]""",
                """[{"Count":1.0,"Capabilities":[["gpu"]]}]""",
                """[{"Count":1,"Capabilities":[["GPU"]]}]""",
                """[{"Driver":"cdi","DeviceIDs":["acme.com/thing=any"]}]""",
                """[{"Count":1,"Capabilities":[["gpu"]],"Capabilities":[]}]""",
                """[{"Count":1,"Capabilities":[["gpu"]]},{"Count":1,"Capabilities":null}]""",
                """[{"Count":1e0,"Capabilities":[["gpu"]]}]""",
                """[{"Count":-1.0,"Capabilities":[["gpu"]]}]""",
                """[{"Count":9223372036854775808,"Capabilities":[["gpu"]]}]""",
                """[{"Count":null,"DeviceIDs":null,"Capabilities":[[null,"gpu"]]}]""",
                """[{"Count":1,"Capabilities":[["gpu"]],"Options":{"a":"b","A":"c"}}]""",
                """[{"Count":0,"Count":1,"Capabilities":[["gpu"]]}]""",
                """{"Count":1,"Capabilities":[["gpu"]]}""",
            ]
        ),
        (
            "Devices",
            [
                """[{"PathOnHost":"/dev/nvidia0","PathInContainer":"/dev/nvidia0","CgroupPermissions":"rwm"}]""",
                """[{"PathOnHost":"/dev/innocent","PathInContainer":"/dev/x","CgroupPermissions":"rwm"}]""",
                """[{"PathOnHost":"/dev/char/195:0","PathInContainer":"/dev/x","CgroupPermissions":"r"}]""",
                """[{"PathOnHost":"/dev/dri","PathInContainer":"/dev/dri","CgroupPermissions":"rwm"}]""",
                """[{"PathOnHost":"//dev//nvidia0","PathInContainer":"/y","CgroupPermissions":"rwm"}]""",
                """[{"PathOnHost":"dev/nvidia0","PathInContainer":"/y","CgroupPermissions":"rwm"}]""",
                """[{"PathOnHost":"/dev/pts/../nvidia1","PathInContainer":"/y","CgroupPermissions":"rwm"}]""",
                """[{"PathOnHost":"/dev/null","PathInContainer":"/y","CgroupPermissions":"rwm"}]""",
                """[{"PathOnHost":"nvidia.com/gpu=all"}]""",
                """[{"pathonhost":"/dev/nvidia0","PathInContainer":"/y","CgroupPermissions":"rwm"}]""",
                "[]",
                "null",
                """[{"PathOnHost":"/proc/self/root/dev/nvidia0","PathInContainer":"/y","CgroupPermissions":"rwm"}]""",
            ]
        ),
        (
            "DeviceCgroupRules",
            [
                """["c 195:* rwm"]""",
                """["a *:* rwm"]""",
                """["a 1:3 rwm"]""",
                """["c 1:3 r"]""",
                "[]",
                """["c *:0 rwm"]""",
            ]
        ),
        ("Privileged", ["true", "false", "null", "1", "\"true\""]),
        (
            "Runtime",
            ["\"nvidia\"", "\"runc\"", "\"\"", "null", "\"io.containerd.runc.v2\"", "\"NVIDIA\"", "\" nvidia\""]
        ),
        (
            "Binds",
            [
                """["/dev:/x"]""",
                """["/dev/nvidia0:/x"]""",
                """["devices:/x"]""",
                """["runai:/runai","devices:/x:ro"]""",
                """["runai:/runai:ro"]""",
                """["runai:/runai","plain:/runai/usage"]""",
                """["runai:/other"]""",
                """["runai:/etc"]""",
                """["runai:/runai","runai:/runai2"]""",
                """["plain:/etc"]""",
                """["/dev/../dev/dri:/x:rw"]""",
                "\"/dev:/x\"",
                "[]",
                "null",
                """["/:/x/../y"]""",
                """["plain:/data"]""",
                """["runai:/runai","/tmp:/etc/ld.so.preload"]""",
                """["plain:/runai"]""",
                """["hafl:/runai"]""",
                """["/c:/runai"]""",
            ]
        ),
        (
            "Mounts",
            [
                """[{"Type":"bind","Source":"/dev/nvidia0","Target":"/x"}]""",
                """[{"Type":"volume","Source":"devices","Target":"/x"}]""",
                """[{"Type":"tmpfs","Target":"/runai"}]""",
                """[{"Type":"tmpfs","Target":"/etc"}]""",
                """[{"Type":"volume","Source":"runai","Target":"/runai"}]""",
                """[{"Type":"volume","Source":"runai","Target":"/etc/ld.so.preload","VolumeOptions":{"Subpath":"ld.so.preload"}}]""",
                """[{"Type":"volume","Source":"runai","Target":"/runai","VolumeOptions":{"Subpath":"usage"}}]""",
                """[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"none","o":"bind","device":"/dev"}}}}]""",
                """[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"none","o":"bind","device":"dev"}}}}]""",
                """[{"type":"bind","Source":"/dev","Target":"/x"}]""",
                "[]",
                "null",
                "[null]",
                Local(""" "type":"binfmt_misc","device":"x" """),
                Local(""" "type":"mqueue","device":"/x" """),
                Local(""" "type":"devpts","device":"x","o":"rw" """),
                Local(""" "type":"overlay","device":"x","o":"lowerdir=/dev:/etc" """),
                Local(""" "type":"tmpfs","device":"/dev","o":"BIND" """),
                Local(""" "type":"tmpfs","device":"/dev","o":"ro,rbind" """),
                Local(""" "type":"tmpfs","device":"tmpfs" """, "devices"),
                Local(""" "type":"9p","device":"/run/docker.sock","o":"trans=unix" """),
                """[{"Type":"Bind","Source":"/dev","Target":"/x"}]""",
                """[{"Type":"volume","Source":"fresh","Target":"/runai","VolumeOptions":{"DriverConfig":{"Name":"runai/gpu-memory","Options":{"gpu-memory":"1"}}}}]""",
            ]
        ),
        (
            "Tmpfs",
            [
                """{"/runai":""}""",
                """{"/etc":""}""",
                """{"/x":""}""",
                """{"/runai/usage":""}""",
                """{"/run/simgpu":""}""",
                "null",
            ]
        ),
        ("VolumesFrom", ["""["source"]""", """["ours"]""", """["ours:ro"]""", """["/ours"]""", "[]", "\"ours\""]),
        (
            "CgroupParent",
            ["\"/mine\"", $"\"/docker/{new string('a', 64)}\"", $"\"docker/x/../{new string('b', 64)}/y\""]
        ),
        ("NetworkMode", ["\"container:ours\"", "\"host\"", "\"none\""]),
        ("SecurityOpt", ["""["seccomp=unconfined"]""", """["no-new-privileges"]""", """["apparmor:unconfined"]"""]),
        ("VolumeDriver", ["\"local\"", "\"runai/gpu-memory\"", "\"\""]),
        (
            "Annotations",
            [
                """{"cdi.k8s.io/a":"nvidia.com/gpu=all"}""",
                """{"CDI.k8s.io/a":"nvidia.com/gpu=all"}""",
                """{"run.oci.seccomp_bpf_data":"x"}""",
                """{"org.opencontainers.image.title":"x"}""",
                "{}",
            ]
        ),
        ("PidMode", ["\"host\"", "\"container:ours\"", "null", "\"Host\""]),
        ("IpcMode", ["\"private\"", "\"container:ours\"", "1"]),
        ("ReadonlyPaths", ["null", "[]", """["/proc/sys"]"""]),
        ("ShmSize", ["67108864.0", "6.7108864e7", "-1", "null", "1e400"]),
        // Not [null]: 28.5 dies of it while it holds the container's lock, and that container hangs for ever.
        (
            "Ulimits",
            ["""[{"Name":"nofile","Soft":64.0,"Hard":64}]""", """[{"Name":"nofile","Soft":64,"soft":65,"Hard":64}]"""]
        ),
        (
            "CapAdd",
            [
                """["MKNOD"]""",
                """["SYS_ADMIN"]""",
                """["\\u017fYS_ADMIN"]""",
                """["CAP_SYS_ADM\u0131N"]""",
                """["NET_ADMIN"]""",
                """["SYS_TIME"]""",
                """["cap_linux_immutable"]""",
                """["SYSLOG","NET_RAW"]""",
                "[]",
                "\"ALL\"",
            ]
        ),
        ("ReadonlyRootfs", ["true", "false", "null"]),
        ("AutoRemove", ["false"]),
        ("Memory", ["67108864", "0"]),
    ];

    static readonly (string Key, string[] Values)[] TopMembers =
    [
        (
            "Env",
            [
                """["NVIDIA_VISIBLE_DEVICES=all"]""",
                """["NVIDIA_VISIBLE_DEVICES=void","NVIDIA_VISIBLE_DEVICES=0"]""",
                """["LD_PRELOAD="]""",
                """["LD_PRELOAD=/runai/librunai.so"]""",
                """["LD_PRELOAD=/x.so /runai/librunai.so"]""",
                """["CUDA_VERSION=8"]""",
                """["NVIDIA_VISIBLE_DEVICES"]""",
                "[]",
                "null",
                """["LD_PRELOAD=/runai/librunai.so","LD_PRELOAD=/x"]""",
                """["LD_PRELOAD=/x","LD_PRELOAD=/runai/librunai.so"]""",
                """["NVIDIA_VISIBLE_DEVICES=none"]""",
                """["NVIDIA_VISIBLE_DEVICES=void","DOCKER_RESOURCE_GPU=all"]""",
                """["RUNAI_QUOTA_TIMEOUT=0"]""",
                """["NVIDIA_DRIVER_CAPABILITIES=all"]""",
                """["LD_LIBRARY_PATH=/x"]""",
            ]
        ),
        (
            "Labels",
            [
                """{"gpu-memory":"0.5"}""",
                """{"gpu-memory":"0.25"}""",
                """{"gpu-memory":"1"}""",
                """{"gpu-memory":"2g"}""",
                """{"gpu-memory":"20g"}""",
                """{"gpu-memory":"0.5","gpu-memory":"1"}""",
                """{"GPU-memory":"0.5"}""",
                """{"gpu-memory":0.5}""",
                """{"gpu-memory":null}""",
                """{"gpu-memory":""}""",
                """{"gpu\u002dmemory":"1","gpu-memory":"0.1"}""",
                "{}",
                "null",
                """{"gpu-memory":"0.500000001"}""",
                """{"gpu-memory":"00.5"}""",
                """{"gpu-memory":" 0.5"}""",
                """{"gpu-memory":"5494m"}""",
            ]
        ),
        ("Volumes", ["""{"/runai":{}}""", """{"/etc":{}}""", "{}", """{"runai":{}}"""]),
        ("User", ["\"1000\"", "\"1000:0\"", "\"\""]),
        ("WorkingDir", ["\"/runai\"", "\"/\""]),
        ("NetworkDisabled", ["true"]),
        ("Domainname", ["null"]),
        ("Runtime", ["\"nvidia\""]),
        ("Privileged", ["true"]),
        ("DeviceRequests", ["""[{"Count":1,"Capabilities":[["gpu"]]}]"""]),
        (
            "Unknown",
            [
                "{\"HostConfig\":{\"Privileged\":true}}",
                "[[[[[]]]]]",
                Nested(60),
                Nested(70),
                Nested(9_990),
                Nested(10_010),
            ]
        ),
    ];

    static string Local(string options, string source = "") =>
        $$$"""[{"Type":"volume","Source":"{{{source}}}","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{{{{options}}}} } } }]""";

    static string Nested(int levels) =>
        string.Concat(Enumerable.Repeat("{\"HostConfig\":", levels)) + "0" + new string('}', levels);

    static readonly string[] Images =
    [
        TestEngine.Image,
        TestEngine.Image,
        TestEngine.Image,
        "cuda",
        "old-cuda",
        "labelled",
        "labelled-1",
    ];

    static readonly string[] Targets =
    [
        "/containers/create",
        "/v1.24/containers/create",
        "/v1.30/containers/create",
        "/v1.40/containers/create",
        "/v1.41/containers/%63reate",
        "/v1.41/%63ontainers/create",
        "/v1.18/containers/create",
        "/v1.43/containers/create",
        "/v1.41/containers/create?HostConfig.Privileged=true&Image=cuda",
        "/v1.41/containers/create?name=a{0}&name=b{0}",
        "/v1.41/containers/create?body=%7B%7D",
        "/v1.23/containers/create",
        "/v1.44/containers/create",
        "/v1.99/containers/create",
        "/v1.51/containers/create",
        "http://x/v1.41/containers/create",
        "/v1.41/containers/create?name={0}",
        "/v1.41/containers/create?platform=",
        "//containers/create",
        "/v1.41/containers/create/",
        "/v01.41/containers/create",
    ];

    static readonly string[] Types =
    [
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
        "application/json,text/plain",
        "application/json;",
        "application/json; charset=utf-16",
        "multipart/form-data; boundary=x",
        "application/json\t",
        "text/json",
        "application/merge-patch+json",
    ];

    /// <summary>How the body goes over the wire: as it is, or in one of the ways that a server may read otherwise than
    /// a proxy.</summary>
    static readonly string[][] Wires =
    [
        ["Content-Encoding: gzip"],
        ["Content-Encoding: identity"],
        ["Content-Type: application/json", "Content-Type: text/plain"],
        ["X-HTTP-Method-Override: GET"],
        ["Content-Type: application/json", "Content-Type: application/json"],
        ["Content-Length: {0}", "Content-Length: {0}"],
        ["Content-Length: {1}"],
        ["Content-Length: +{0}"],
    ];

    bool Chance(double probability) => _random.NextDouble() < probability;

    T Pick<T>(T[] items) => items[_random.Next(items.Length)];

    public CreateCall Next()
    {
        var oddity =
            Chance(0.35) ? 0
            : Chance(0.7) ? 0.03
            : 0.15; // a third is plain, for the odd ones seldom run
        var host = new Members { ("NetworkMode", "\"none\"") };
        var top = new Members { ("Image", $"\"{Pick(Images)}\""), ("Cmd", """["sleep","120"]""") };
        if (Chance(0.6))
            AddLegal(host, top);
        AddSome(host, HostMembers, 0.09);
        AddSome(top, TopMembers, 0.07);
        top.Insert(_random.Next(top.Count + 1), ("HostConfig", host));
        Confuse(host, oddity);
        Confuse(top, oddity);
        if (Chance(oddity))
            top.Add(("HostConfig", new Members { Any(HostMembers) }));
        var text = new StringBuilder();
        Write(text, top, oddity);
        if (Chance(oddity))
            text.Insert(0, Pick(["\ufeff", " ", "\r\n", "null", "{}", "[", "\0"]));
        if (Chance(oddity))
            text.Append(Pick([" ", "{}", "]", "\0", """{"HostConfig":{"Privileged":true}}""", "\n\n", ",", "//"]));
        if (Chance(oddity / 10))
            text.Append(' ', (1 << 20) - _random.Next(-2, 3) - Encoding.UTF8.GetByteCount(text.ToString()));
        var body = Encoding.UTF8.GetBytes(text.ToString());
        if (Chance(oddity / 3))
            body[_random.Next(body.Length)] = (byte)_random.Next(256);
        var target = Chance(oddity * 2)
            ? Pick(Targets).Replace("{0}", $"n{seed}", StringComparison.Ordinal)
            : "/v1.41/containers/create";
        if (Chance(0.05))
            return new(Chunked(body), target, ["Content-Length: ", "Transfer-Encoding: chunked"]); // as legal as any
        if (Chance(oddity / 2))
            return new(body, target, [$"Content-Type: {Pick(Types)}"]);
        return new(
            body,
            target,
            Chance(oddity / 2)
                ?
                [
                    .. Pick(Wires)
                        .Select(header =>
                            string.Format(
                                CultureInfo.InvariantCulture,
                                header,
                                body.Length,
                                _random.Next(body.Length + 1)
                            )
                        ),
                ]
                : []
        );
    }

    /// <summary>In pieces of any size, some with an extension.</summary>
    byte[] Chunked(byte[] body)
    {
        using var chunks = new MemoryStream();
        for (var at = 0; at < body.Length; )
        {
            var size = Math.Min(_random.Next(1, body.Length + 1), body.Length - at);
            chunks.Write(Encoding.ASCII.GetBytes($"{size:x}{(Chance(0.2) ? ";x=y" : "")}\r\n"));
            chunks.Write(body, at, size);
            chunks.Write("\r\n"u8);
            at += size;
        }
        chunks.Write("0\r\n\r\n"u8);
        return chunks.ToArray();
    }

    void AddLegal(Members host, Members top)
    {
        host.Add(("Binds", """["runai:/runai"]"""));
        host.Add(Chance(0.7) ? ("DeviceRequests", """[{"Count":1,"Capabilities":[["gpu"]]}]""") : Any(HostMembers));
        top.Add(("Labels", $$"""{"gpu-memory":"{{Pick(["0.1", "0.5", ".25", "2g", "512m"])}}"}"""));
    }

    (string Key, object Value) Any((string Key, string[] Values)[] members)
    {
        var (key, values) = Pick(members);
        return (key, Pick(values));
    }

    /// <summary>Without duplicates, as clients write.</summary>
    void AddSome(Members to, (string Key, string[] Values)[] from, double probability)
    {
        foreach (var (key, values) in from)
        {
            if (
                !Chance(probability)
                || key is "Privileged" or "Runtime" or "DeviceRequests"
                    && ReferenceEquals(from, TopMembers)
                    && !Chance(0.2)
            )
                continue;
            to.RemoveAll(m => m.Key == key);
            to.Insert(_random.Next(to.Count + 1), (key, Pick(values)));
        }
    }

    void Confuse(Members members, double oddity)
    {
        for (var i = members.Count - 1; i >= 0; i--)
        {
            if (!Chance(oddity))
                continue;
            var (key, value) = members[i];
            switch (_random.Next(4))
            {
                case 0:
                    members.Add((key, "null"));
                    break;
                case 1:
                    members[i] = (key, "null");
                    break;
                case 2:
                    members.Insert(
                        0,
                        Array.Find(HostMembers, m => m.Key == key) is { Values: { } values }
                            ? (key, Pick(values))
                            : (key, value)
                    );
                    break;
                default:
                    members.Add((Respell(key), value));
                    break;
            }
        }
    }

    void Write(StringBuilder text, Members members, double oddity)
    {
        text.Append('{');
        for (var i = 0; i < members.Count; i++)
        {
            if (i > 0)
                text.Append(',');
            text.Append('"').Append(Chance(oddity / 2) ? Respell(members[i].Key) : members[i].Key).Append("\":");
            if (members[i].Value is Members inner)
                Write(text, inner, oddity);
            else if (Chance(oddity / 2))
                text.Append(Disturb((string)members[i].Value));
            else
                text.Append(members[i].Value);
        }

        text.Append('}');
    }

    /// <summary>The same a little otherwise, below the first level: an inner key in another spelling, an inner member
    /// twice, a number with a point, a null.</summary>
    string Disturb(string json)
    {
        var keys = Regex.Matches(json, "\"([A-Za-z]+)\":");
        if (keys.Count == 0)
            return Chance(0.5) ? "null" : $"[{json}]";
        var key = keys[_random.Next(keys.Count)];
        return _random.Next(5) switch
        {
            0 => json.Replace(key.Value, $"\"{Respell(key.Groups[1].Value)}\":", StringComparison.Ordinal),
            1 => json.Insert(key.Index, $"{key.Value}null,"),
            2 => json.Insert(key.Index, $"\"{Respell(key.Groups[1].Value)}\":null,"),
            3 => Regex.Replace(json, "(?<=:-?)[0-9]+(?=[,}])", "$0.0"),
            _ => json.Insert(json.Length - 1, "}".StartsWith(json[^1]) ? $",{key.Value}null" : ",null"),
        };
    }

    string Respell(string key) =>
        _random.Next(6) switch
        {
            0 => key.ToUpperInvariant(),
            1 => key.ToLowerInvariant(),
            2 => key.Replace('s', '\u017f').Replace('k', '\u212a'),
            3 => key.Replace("s", "\\u017f", StringComparison.Ordinal)
                .Replace("S", "\\u017F", StringComparison.Ordinal),
            4 => $"\\u{(int)key[0]:x4}{key[1..]}",
            _ => key + Pick([" ", "\\u0000", "\u200b", "_"]),
        };
}
