namespace Runai.GpuMemory.Admission;

sealed partial class Authorizer
{
    /// <summary>Most calls are answered by this alone. Of those that reach into a container only a rename matters
    /// without a policy file: it could give one the form of an ID as its name. That the engine asks at all is noted
    /// here too.</summary>
    public bool IsOfConcern(string method, string uri)
    {
        own.NoteAsked(uri);
        if (method.Length == 0 || uri.Length == 0)
            return true;
        var kind = EngineRoute.Match(method, uri).Kind;
        return kind != RouteKind.OfNoConcern
            && !(policy.Current.IsBuiltIn && EngineRoutes.IsReach(kind) && kind != RouteKind.ContainerRename);
    }
}
